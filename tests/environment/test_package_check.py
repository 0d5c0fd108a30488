"""``lume-services package check`` tells everything that would stop a deployment, at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lume_services.environment.checking import problems
from tests.commands import Run
from tests.environment.archives import ENTRY_POINTS, PKG_INFO, sdist, tar_of, wheel
from tests.environment.server import content, serving
from tests.environment.test_inspection import PREFECT1_FLOW, TEMPLATE

WRONG: dict[str, str | None] = {
    "PKG-INFO": PKG_INFO.replace("1.2.0", "one").replace("numpy>=1.20", "numpy>>1"),
    "environment.yml": "dependencies: [[1], impact-t]",
    "my_model/_image.py": "IMAGE = 3",
    "my_model/model.py": None,
}
TOLD = ["version 'one'", "'numpy>>1'", "[1]", "'my_model.model:MyModel' names a module", "IMAGE"]


def test_a_package_without_problems(tmp_path: Path) -> None:
    assert problems(sdist(tmp_path)) == []
    assert problems(str(wheel(tmp_path))) == []


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(sdist(tmp_path, WRONG))
    assert len(found) == len(TOLD)
    assert all(part in problem for part, problem in zip(TOLD, found, strict=True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.tar.gz", "is not there"),
        ("my_model-1.2.0.tar.gz", "leads out of the folder"),
        ("empty", "has no pyproject.toml"),
    ],
)
def test_what_cannot_be_unpacked_is_one_problem(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "my_model-1.2.0.tar.gz").write_bytes(tar_of(("../evil", {})))
    (tmp_path / "empty").mkdir()
    (problem,) = problems(tmp_path / name)
    assert message in problem


def test_the_command_says_what_the_package_is(run: Run, tmp_path: Path) -> None:
    path = sdist(tmp_path, {"my_model/_image.py": "IMAGE = 'lab.example/my-model:1'\n"})
    done = run("package", "check", str(path))
    assert done.code == 0
    shown = ("my-model", "1.2.0", "my_model.model:MyModel", "my_model.flow:run", "numpy>=1.20")
    for text in (*shown, "lab.example/my-model:1", ">=3.9", f"{path.stat().st_size} bytes"):
        assert text in done.out
    assert done.err == "Nothing that can be seen without installing it would stop its deployment.\n"


def test_the_command_tells_each_problem_with_exit_code_2(run: Run, tmp_path: Path) -> None:
    done = run("package", "check", str(sdist(tmp_path, WRONG)))
    assert done.code == 2
    *errors, last = done.err.splitlines()
    assert all(line.startswith("Error: ") for line in errors)
    assert all(part in line for part, line in zip(TOLD, errors, strict=True))
    assert last == "5 problems would stop its deployment."
    assert "impact-t" in done.out


def test_the_command_gives_json(run: Run, tmp_path: Path) -> None:
    good = run("package", "check", str(wheel(tmp_path)), "--json")
    assert (good.code, good.json["problems"]) == (0, [])
    assert good.json["package"]["model"] == "my_model.model:MyModel"
    assert good.json["package"]["requirements"] == ["numpy>=1.20"]
    bad = run("package", "check", str(tmp_path / "missing.whl"), "--json")
    assert (bad.code, bad.json["package"], len(bad.json["problems"])) == (2, None, 1)


def test_a_checkout_is_built_and_checked(run: Run, checkout: Path) -> None:
    done = run("package", "check", str(checkout), "--json")
    assert (done.code, done.json["problems"]) == (0, [])
    assert done.json["package"]["filename"] == "my_model-1.2.0.tar.gz"


def test_an_isolated_machine_fetches_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_PREFECT__ISOLATED", "true")
    done = run("package", "check", "https://lab.example/my_model-1.2.0.tar.gz")
    assert done.code == 2
    assert "LUME_PREFECT__ISOLATED is set" in done.err


def test_the_token_that_is_set_is_sent(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_ENVIRONMENT__TOKEN", "t0ken-of-a-test")
    path = sdist(tmp_path)
    with serving() as server:
        server.answers[f"/{path.name}"] = content(path.read_bytes())
        assert run("package", "check", f"{server.url}/{path.name}").code == 0
        assert server.asked == [(f"/{path.name}", "Bearer t0ken-of-a-test")]


def test_a_flow_for_prefect_1_is_told(run: Run, tmp_path: Path) -> None:
    done = run("package", "check", str(sdist(tmp_path, TEMPLATE)))
    assert done.code == 0
    assert "written for Prefect 1: not used" in done.out
    only_flow = dict(TEMPLATE)
    only_flow["my_model.egg-info/entry_points.txt"] = ENTRY_POINTS.replace("my_model.model =", "#")
    assert only_flow["my_model/flow.py"] == PREFECT1_FLOW
    done = run("package", "check", str(sdist(tmp_path, only_flow)))
    assert done.code == 2
    assert "docs/migrating.md#flows" in done.err


def test_a_check_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from lume_services.environment.checking import problems\n"
        f"assert problems({str(sdist(tmp_path))!r}) == []\n"
        "print(set(sys.modules) & {'prefect', 'sqlalchemy', 'pandas', 'numpy', 'my_model'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
