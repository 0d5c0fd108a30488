"""A model in a process of its own: every kind of value, and every way to go wrong."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from beamphysics import ParticleGroup

from lume_services.environment.process import ModelProcess
from lume_services.errors import InvalidInputError, ModelFailedError, PackageError
from tests.equality import equal

ECHO = "def model(inputs):\n    return inputs\n"

Made = Callable[..., ModelProcess]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """Makes the process of a model from its source."""
    processes = []

    def make(source: str = ECHO, name: str = "model") -> ModelProcess:
        (tmp_path / "own_model.py").write_text(source)
        processes.append(ModelProcess(Path(sys.executable), [tmp_path], f"own_model:{name}"))
        return processes[-1]

    yield make
    for process in processes:
        process.close()


def particles() -> ParticleGroup:
    n = 100
    coordinates = {name: np.linspace(0, 1, n) for name in ("x", "px", "y", "py", "z", "pz", "t")}
    weights = {"status": np.ones(n, dtype=int), "weight": np.full(n, 1e-12)}
    return ParticleGroup(data={**coordinates, **weights, "species": "electron"})


VALUES: dict[str, Any] = {
    "nothing": None,
    "true": True,
    "integer": 2**80,
    "float": 0.1,
    "nan": math.nan,
    "infinity": -math.inf,
    "text": "é ☃",
    "bytes": b"\0\xff",
    "complex": 1 - 2j,
    "date": datetime(2026, 11, 26, 12, 30, tzinfo=UTC),
    "list": [1, [2.5, "three"]],
    "tuple": (1, (2, 3)),
    "mapping": {"QUAD:LI21:201:BDES": {"k": 1.0}},
    "keys": {1: "one", (2, 3): "pair", "%array": "percent"},
    "array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "slice": np.arange(10)[::3],
    "empty": np.zeros((0, 3)),
    "scalar": np.array(2.5),
    "big endian": np.arange(3, dtype=">f4"),
    "booleans": np.array([True, False]),
    "texts": np.array(["a", "bcd"]),
    "complexes": np.array([1 + 2j]),
    "times": np.array(["2026-11-26"], dtype="M8[ms]"),
    "large": np.random.default_rng(1).normal(size=(300, 1000)),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_went(made: Made, name: str) -> None:
    value = VALUES[name]
    outputs = made().evaluate({"value": value, "after": np.arange(3)}).outputs
    if name == "nan":
        assert math.isnan(outputs["value"])
        return
    if isinstance(value, np.ndarray):  # whatever it was, it is little-endian and contiguous now
        value = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(value.shape)
    assert equal(outputs["value"], value)
    assert equal(outputs["after"], np.arange(3))


def test_frames_and_particles_come_back(made: Made) -> None:
    frame = pd.DataFrame({"s": [0.0, 1.5], "name": ["QF", "QD"]}, index=[3, 4])
    beam = particles()
    outputs = made().evaluate({"frame": frame, "beam": beam}).outputs
    pd.testing.assert_frame_equal(outputs["frame"], frame)
    assert np.array_equal(outputs["beam"].x, beam.x)
    assert outputs["beam"].species == "electron"


def test_what_cannot_be_sent_is_named(made: Made) -> None:
    process = made()
    with pytest.raises(InvalidInputError, match=r"builtins\.object cannot be sent"):
        process.evaluate({"value": object()})
    error = made("model = lambda inputs: {'value': object()}").evaluate({}).error
    assert error is not None
    assert error["message"] == "a builtins.object cannot be sent"
    assert process.evaluate({"value": 1}).outputs == {"value": 1}


def test_what_a_model_raises_is_told(made: Made) -> None:
    process = made(
        "class Unstable(Exception): pass\n"
        "def model(inputs):\n    if inputs['how'] == 'exit': raise SystemExit(3)\n"
        "    raise Unstable(f'no closed orbit at {inputs[\"how\"]}')\n"
    )
    error = process.evaluate({"how": "0.7"}).error
    assert error is not None
    assert (error["type"], error["message"]) == ("own_model.Unstable", "no closed orbit at 0.7")
    assert "line 4, in model" in error["traceback"]
    error = process.evaluate({"how": "exit"}).error
    assert error is not None
    assert error["type"] == "SystemExit"
    assert process.evaluate({"how": "on"}).error is not None


def test_what_is_no_dictionary_of_outputs_is_told(made: Made) -> None:
    error = made("model = lambda inputs: 3").evaluate({}).error
    assert error is not None
    assert "returned int, not a dictionary" in error["message"]


def test_a_process_that_dies_is_started_again(made: Made) -> None:
    process = made(
        "import os\ndef model(i):\n    if i: os._exit(9)\n    return {'pid': os.getpid()}"
    )
    first = process.evaluate({}).outputs["pid"]
    assert process.evaluate({}).outputs["pid"] == first
    with pytest.raises(ModelFailedError, match=r"process died \(exit code 9\)"):
        process.evaluate({"x": 1})
    assert process.evaluate({}).outputs["pid"] != first


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("other = 1", "has no attribute 'model'"),
        ("model = 3", "int is not a model"),
        ("class model:\n  def __init__(self, n): pass", "missing 1 required positional argument"),
        ("import os; os._exit(4)", r"the model's process died \(exit code 4\)"),
        ("raise SystemExit(2)", "SystemExit: 2"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(made: Made, source: str, said: str) -> None:
    with pytest.raises(PackageError, match=said):
        made(source).describe()


def test_what_a_model_prints_disturbs_nothing(made: Made, capfd: pytest.CaptureFixture) -> None:
    process = made(
        "import os\nprint('loaded')\n"
        "def model(i):\n    print('a', end='')\n    os.system('echo from a program')\n"
        "    return {'line': input() if i else ''}\n"
    )
    for _ in range(3):
        assert process.evaluate({}).outputs == {"line": ""}
    error = process.evaluate({"ask": True}).error
    assert error is not None
    assert error["type"] == "EOFError"
    process.close()
    assert "from a program" in capfd.readouterr().err


def test_settings_are_none_of_a_models_business(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_MODEL_DB__PASSWORD", "s3cret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    outputs = made("import os\nmodel = lambda i: dict(os.environ)").evaluate({}).outputs
    assert "s3cret" not in str(outputs)
    assert "PYTHONPATH" not in outputs
    assert outputs["OMP_NUM_THREADS"] == "2"


def test_it_says_what_it_runs_with(made: Made) -> None:
    found = made().describe()
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert f"numpy=={np.__version__}" in found.packages


def test_threads_take_turns(made: Made) -> None:
    process = made("import time\ndef model(i):\n    time.sleep(0.01)\n    return i\n")
    wrong = []

    def evaluate(number: int) -> None:
        for step in range(5):
            value = 100 * number + step
            if process.evaluate({"x": value}).outputs != {"x": value}:
                wrong.append(value)

    threads = [threading.Thread(target=evaluate, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_it_ends_with_who_started_it(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import os, time, pathlib\n"
        "def model(i):\n    pathlib.Path(i['told']).write_text(str(os.getpid()))\n"
        "    while True: time.sleep(1)\n"
    )
    told = tmp_path / "told"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from lume_services.environment.process import ModelProcess\n"
            "folder = Path(sys.argv[1])\n"
            "ModelProcess(Path(sys.executable), [folder], 'busy:model')"
            ".evaluate({'told': str(folder / 'told')})",
            str(tmp_path),
        ]
    )
    wait_for(lambda: told.exists() and bool(told.read_text()))
    parent.kill()
    parent.wait()
    child = int(told.read_text())
    wait_for(lambda: not is_alive(child))


def test_a_forked_process_has_one_of_its_own(made: Made) -> None:
    process = made("import os\nmodel = lambda i: {'pid': os.getpid()}")
    ours = process.evaluate({}).outputs["pid"]
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, str(process.evaluate({}).outputs["pid"]).encode())
        process.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 20)) != ours
    assert process.evaluate({}).outputs["pid"] == ours
    os.close(reader)
    os.close(writer)


def test_nothing_is_left_behind(made: Made) -> None:
    shared = Path("/dev/shm")
    before = set(shared.glob("lume-*")) if shared.exists() else set()
    process = made()
    process.evaluate({"value": VALUES["large"]})
    process.close()
    assert not shared.exists() or set(shared.glob("lume-*")) <= before


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
