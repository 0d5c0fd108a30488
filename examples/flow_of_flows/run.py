"""Run the flows of fodo.yaml on this machine: `python run.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lume_services.config import configure
from lume_services.flows import FlowOfFlows


def main() -> None:
    """Run them and print what comes out."""
    configure()
    fodo = FlowOfFlows.from_yaml(Path(__file__).with_name("fodo.yaml"))
    print("Parameters:", ", ".join(fodo.parameters))
    with tempfile.TemporaryDirectory() as folder:
        values = fodo.run_and_return(
            {"optics-filename": f"{folder}/optics.yaml", "optics-focal_length": 4.0}
        )
    print(f"Tune {values['tune']:.4f}, aperture {values['clearance']:.1f} times the beam size")


if __name__ == "__main__":
    main()
