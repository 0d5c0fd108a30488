"""A model in a process of its own: every kind of value, and every way to go wrong."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass
class Here:
    """In the place of an environment: this Python, and a folder with a package."""

    package: Path
    python: Path = Path(sys.executable)


Made = Callable[..., ModelProcess]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """Makes the process of a model from its source."""
    processes = []

    def make(source: str = ECHO, name: str = "model") -> ModelProcess:
        (tmp_path / "own_model.py").write_text(source)
        processes.append(ModelProcess(Here(tmp_path), f"own_model:{name}"))
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
    "numpy float": np.float64(0.1),
    "single": np.float32(0.1),
    "small integer": np.int16(7),
    "numpy truth": np.True_,
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
    assert equal(outputs["value"], value)
    assert equal(outputs["after"], np.arange(3))


FRAMES = {
    "named index": pd.DataFrame(
        {"s": [0.0, 1.5], "name": ["QF", "QD"]}, index=pd.Index([3, 4], name="element")
    ),
    "range": pd.DataFrame({"x": np.arange(3, dtype=np.int16)}),
    "times": pd.DataFrame({"x": [1.0]}, index=pd.DatetimeIndex(["2026-11-26 12:00"], name="t")),
    "empty": pd.DataFrame({"x": np.array([], dtype="f4"), "y": np.array([], dtype=object)}),
    "objects": pd.DataFrame({"x": pd.Series([1, "two", None], dtype=object)}),
    "named columns": pd.DataFrame([[1.0, 2.0]], columns=pd.Index(["a", "b"], name="plane")),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_come_back(made: Made, name: str) -> None:
    frame = FRAMES[name]
    pd.testing.assert_frame_equal(made().evaluate({"frame": frame}).outputs["frame"], frame)


def test_particles_come_back(made: Made) -> None:
    beam = particles()
    outputs = made().evaluate({"beam": beam}).outputs
    assert np.array_equal(outputs["beam"].x, beam.x)
    assert outputs["beam"].species == "electron"


NOT_SENT = {
    "object": (object(), "a builtins.object cannot be sent"),
    "array of objects": (np.array([1, "x"], dtype=object), "ndarray of object cannot be sent"),
    "masked array": (np.ma.masked_equal([1, 2], 2), "MaskedArray of int64 cannot be sent"),
    "huge integer": (10**5000, "a builtins.int cannot be sent"),
    "not a time": (pd.NaT, "NaTType cannot be sent"),
    "categories": (pd.DataFrame({"x": pd.Categorical(["a"])}), "a column of category"),
    "same name twice": (pd.DataFrame([[1, 2]], columns=["x", "x"]), "twice the same"),
    "missing integers": (pd.DataFrame({"x": pd.array([1, None], "Int64")}), "a column of Int64"),
    "levels": (pd.DataFrame({"x": [1]}).set_index([["a"], ["b"]]), "several levels"),
}


@pytest.mark.parametrize("name", NOT_SENT)
def test_what_would_not_arrive_as_it_is_is_refused(made: Made, name: str) -> None:
    value, said = NOT_SENT[name]
    process = made("KEPT = {}\ndef model(i):\n    return i\n")
    assert process.evaluate({"x": 1}).outputs == {"x": 1}
    with pytest.raises(InvalidInputError, match=f"^beam: .*{said}"):
        process.evaluate({"x": 1, "beam": value})
    assert process.evaluate({"x": 2}).outputs == {"x": 2}


def test_an_output_that_cannot_be_sent_is_an_error_of_the_model(made: Made) -> None:
    error = made("model = lambda inputs: {'value': object()}").evaluate({}).error
    assert error is not None
    assert error["message"] == "a builtins.object cannot be sent"


def test_an_input_of_a_library_that_is_not_there(made: Made, tmp_path: Path) -> None:
    process = made("import sys\nsys.modules['pandas'] = None\nmodel = lambda i: {'n': len(i)}\n")
    error = process.evaluate({"frame": FRAMES["range"]}).error
    assert error is not None
    assert "pandas" in error["message"]
    assert process.evaluate({}).outputs == {"n": 0}


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
        ("import os; os._exit(4)", r"The model's process died \(exit code 4\)"),
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
        "import sys\n"
        "def model(i):\n"
        "    pathlib.Path(i['told']).write_text(f'{os.getpid()} {sys.argv[2]}')\n"
        "    while True: time.sleep(1)\n"
    )
    told = tmp_path / "told"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from lume_services.environment.process import ModelProcess\n"
            "from tests.environment.test_process import Here\n"
            "folder = Path(sys.argv[1])\n"
            "ModelProcess(Here(folder), 'busy:model').evaluate({'told': str(folder / 'told')})",
            str(tmp_path),
        ]
    )
    wait_for(lambda: told.exists() and bool(told.read_text()))
    parent.kill()
    parent.wait()
    child, folder = told.read_text().split()
    wait_for(lambda: not is_alive(int(child)))
    assert not Path(folder).exists()


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


FORKS = """
import os
from concurrent.futures import ProcessPoolExecutor

pool = ProcessPoolExecutor(2)


def model(inputs):
    workers = list(pool.map(abs, range(-2, 2)))
    if inputs.get("die"):
        os._exit(6)
    return {"workers": workers}
"""


def test_a_model_that_forks_may_die(made: Made) -> None:
    process = made(FORKS)
    assert process.evaluate({}).outputs == {"workers": [2, 1, 0, 1]}
    with pytest.raises(ModelFailedError, match=r"died \(exit code 6\)"):
        process.evaluate({"die": True})


def test_what_a_model_has_started_ends_with_it(made: Made, tmp_path: Path) -> None:
    told = tmp_path / "told"
    process = made(
        "import subprocess\n"
        "def model(i):\n"
        "    program = subprocess.Popen(['sleep', '600'])\n"
        "    open(i['told'], 'w').write(str(program.pid))\n"
        "    program.wait()\n"
    )

    def evaluate() -> None:
        with pytest.raises(ModelFailedError):
            process.evaluate({"told": str(told)})

    thread = threading.Thread(target=evaluate)
    thread.start()
    wait_for(lambda: told.exists() and bool(told.read_text()))
    process.close()
    thread.join(20)
    assert not thread.is_alive()
    wait_for(lambda: not is_alive(int(told.read_text())))


def test_nothing_is_left_behind(made: Made) -> None:
    process = made("import sys\ndef model(i):\n    return {**i, 'folder': sys.argv[2]}\n")
    outputs = process.evaluate({"value": VALUES["large"]}).outputs
    folder = Path(outputs["folder"])
    assert list(folder.iterdir()) == []
    process.close()
    assert not folder.exists()


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
