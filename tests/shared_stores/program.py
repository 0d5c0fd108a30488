"""A whole day's work: register, sweep, query, frame, files. Where it is kept, variables say.

Run as a program, it prints what it read back, every bit of it, as JSON.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import numpy as np

from lume_services.config import configure
from lume_services.files import HDF5File, TextFile
from lume_services.models import Model, grid
from lume_services.results import Result
from tests.shared_stores.optics import beam_at_screen


def main() -> None:
    """Do it all, and print what was read back."""
    configure()
    model = Model.create_model(description="screen", laboratory="lab", facility="ring")
    model.register(beam_at_screen, version="1.0.0", project_name="optics")
    points = grid(f=np.linspace(0.5, 5.0, 10), length=[0.5, 1.0, 1.5, 2.0, 2.5])
    table = model.sweep(points, max_workers=2)
    assert list(table["status"]) == ["success"] * 50

    focused = [
        Result.load_from_query({"unique_hash": result.unique_hash}, project_name="optics")
        for result in model.get_results({"outputs.size": {"$lt": 1.05e-3}, "inputs.length": 1.0})
    ]
    # Two workers end in any order, and results come in the order in which they were stored.
    focused.sort(key=lambda result: result.inputs["f"])
    frame = model.get_results_df({"inputs.f": {"$gt": 2}})
    frame = frame.sort_values(["inputs.f", "inputs.length"])
    TextFile(filename="notes/day.txt", filesystem_identifier="lab", obj="50 points").write()
    HDF5File(
        filename="images/first.h5",
        filesystem_identifier="lab",
        obj={"image": focused[0].outputs["image"], "size": focused[0].outputs["size"]},
    ).write()
    image = HDF5File(filename="images/first.h5", filesystem_identifier="lab").read()

    print(
        json.dumps(
            {
                "all": sorted(map(_exact, model.get_results()), key=str),
                "focused": [_exact(result) for result in focused],
                "frame": [
                    [_bits(value) for value in row]
                    for row in frame.drop(columns=["date_modified", "id"]).to_numpy().tolist()
                ],
                "columns": list(frame.columns),
                "text": TextFile(filename="notes/day.txt", filesystem_identifier="lab").read(),
                "file": [_bits(image["image"]), _bits(image["size"])],
            },
            indent=1,
        )
    )


def _exact(result: Result) -> dict[str, Any]:
    return {
        "unique_hash": result.unique_hash,
        "flow_id": result.flow_id,
        **{f"in {name}": _bits(value) for name, value in result.inputs.items()},
        **{f"out {name}": _bits(value) for name, value in result.outputs.items()},
    }


def _bits(value: Any) -> str:
    """The value with nothing rounded away."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, float | np.floating):
        return float(value).hex()
    return repr(value)


if __name__ == "__main__":
    main()
