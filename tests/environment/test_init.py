"""`lume-services init`: the repository that it makes works untouched, and mistakes make none."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import copier
import numpy as np
import pytest
import yaml

from lume_services.environment.inspection import inspect_package
from lume_services.environment.making import make_package
from lume_services.errors import PackageError
from lume_services.models.evaluation import Evaluator, load_entry_point
from tests.commands import Done, Run

FILES = """
.github/workflows/ci.yml .gitignore Dockerfile README.md environment.yml pyproject.toml
src/{name}/__init__.py src/{name}/_image.py src/{name}/flow.py src/{name}/model.py
src/{name}/variables.yml tests/test_flow.py tests/test_model.py tests/test_variables.py
"""
LONGEST = "a-name-of-forty-letters-and-not-one-more"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(*arguments: str, at: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=at, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_made_is_named_after_the_package(run: Run, folder: Path) -> None:
    done = run("init", "fodo_cell", "--defaults")
    assert (done.code, done.out.strip()) == (0, str(folder / "fodo-cell"))
    made = folder / "fodo-cell"
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert files == set(FILES.format(name="fodo_cell").split())
    for path in made.rglob("*.*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert text.endswith("\n")
            assert not text.endswith("\n\n")
            assert "{{" not in text.replace("${{", "")
    assert list(folder.iterdir()) == [made]


def test_answers_are_given_by_options(run: Run, folder: Path) -> None:
    description = 'The "best" {{ cell }} \\ of $HOME ü 🎉'
    flags = ("--description", description, "--author", "O'Neill", "--laboratory", "SLAC")
    more = ("--facility", "LCLS", "--beampath", "cu_hxr", "--image", "ghcr.io/slaclab/cell")
    done = run("init", "cell-one", "--directory", "here", *flags, *more)
    assert done.code == 0
    text = (folder / "here" / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    assert project["name"] == "cell-one"
    assert project["description"] == description
    assert project["authors"] == [{"name": "O'Neill"}]
    image = (folder / "here/src/cell_one/_image.py").read_text()
    assert 'IMAGE = "ghcr.io/slaclab/cell:0.1.0"\n' in image
    readme = (folder / "here/README.md").read_text(encoding="utf-8")
    create = next(line for line in readme.splitlines() if "models create" in line)
    shell = subprocess.run(
        ["sh", "-c", create.replace("lume-services", "printf '%s\\n'")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.splitlines() == [
        *("models", "create", "--description", description, "--author", "O'Neill"),
        *("--laboratory", "SLAC", "--facility", "LCLS", "--beampath", "cu_hxr"),
    ]


def test_an_empty_folder_is_filled(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder / "empty")
    assert run("init", "cell", "--directory", ".", "--defaults").code == 0
    assert Path("pyproject.toml").exists()
    assert Path(".github/workflows/ci.yml").exists()
    assert not list(Path().glob(".lume*"))


@pytest.mark.parametrize("name", ["x", LONGEST])
def test_the_style_of_what_is_made_is_that_of_ruff(name: str, folder: Path) -> None:
    made = make_package(name)
    ruff = ("-m", "ruff")
    python(*ruff, "format", "--check", "--isolated", ".", at=made)
    rules = "A,B,C4,E,F,I,N,PIE,PT,PTH,RET,RUF,SIM,UP,W"
    python(*ruff, "check", "--isolated", "--select", rules, "--line-length=100", ".", at=made)


@pytest.mark.slow
def test_the_tests_of_what_is_made_pass() -> None:
    made = make_package(LONGEST)
    said = python("-m", "pytest", "-q", "-p", "no:cacheprovider", at=made)
    assert "skipped" not in said


@pytest.mark.slow
def test_the_flow_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_package("alone")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["src", *sys.path]))
    assert "phase_advance_x = 53.8" in python("-m", "alone.flow", at=made)


def test_the_model_is_evaluated_with_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_package("evaluated-cell")
    monkeypatch.syspath_prepend(made / "src")
    evaluator = Evaluator(load_entry_point("evaluated_cell.model:EvaluatedCellModel"))
    inputs = evaluator.check({})
    assert inputs["drift_length"] == 2.0
    outputs = evaluator(inputs)
    thin = np.degrees(np.arccos(1 - 2.4**2 / (2 * 2.5**2)))
    assert outputs["phase_advance_x"] == pytest.approx(thin, rel=0.1)
    assert outputs["beta_x"].shape == outputs["s"].shape == (81,)
    with pytest.raises(ValueError, match="unstable in x"):
        evaluator(evaluator.check({"drift_length": 20.0}))


@pytest.mark.slow
def test_the_sdist_is_a_package_with_a_model(folder: Path) -> None:
    made = make_package("packed-cell", answers={"image": "ghcr.io/slaclab/cell"})
    isolation = ("--no-isolation",) if find_spec("hatchling") else ()
    python("-m", "build", "--sdist", *isolation, at=made)
    package = inspect_package(made / "dist" / "packed_cell-0.1.0.tar.gz")
    assert (package.name, package.version) == ("packed-cell", "0.1.0")
    assert package.model == "packed_cell.model:PackedCellModel"
    assert package.flow == "packed_cell.flow:packed_cell_flow"
    assert package.image == "ghcr.io/slaclab/cell:0.1.0"
    assert (package.conda, package.channels) == ((), ("conda-forge",))
    needed = [requirement.partition(">")[0] for requirement in package.requirements]
    assert needed == ["lume-base", "numpy", "pyyaml"]
    listed = subprocess.run(
        ["tar", "tzf", made / "dist" / "packed_cell-0.1.0.tar.gz"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in ("environment.yml", "src/packed_cell/variables.yml"):
        assert f"packed_cell-0.1.0/{name}" in listed


def test_workflow_and_dockerfile_are_well_formed() -> None:
    made = make_package("shipped")
    workflow = yaml.safe_load((made / ".github/workflows/ci.yml").read_text())
    assert set(workflow["jobs"]) == {"test", "release"}
    release = workflow["jobs"]["release"]
    assert release["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert release["env"]["GH_TOKEN"] == "${{ github.token }}"
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True, check=True)
    assert yaml.safe_load((made / "environment.yml").read_text())["name"] == "shipped"
    text = (made / "Dockerfile").read_text().replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    assert [instruction for instruction, _ in lines] == ["ARG", "FROM", "COPY", "RUN"]
    (run,) = (rest for instruction, rest in lines if instruction == "RUN")
    subprocess.run(["sh", "-n"], input=run, text=True, check=True)


NAMES = [
    ("", "'lcls-injector'"),
    ("Injector", "such as 'injector'"),
    ("LclsInjector", "such as 'lcls-injector'"),
    ("my model", "such as 'my-model'"),
    ("models/fodo", "such as 'fodo'"),
    ("../fodo", "such as 'fodo'"),
    (".", "will not do"),
    ("3d", "beginning with a letter"),
    ("fodo--cell", "such as 'fodo-cell'"),
    ("fodo-", "such as 'fodo'"),
    ("fodo\n", "such as 'fodo'"),
    ("zelle-für-alle", "such as 'zelle-f-r-alle'"),
    ("a" * 41, "41 characters: use at most 40"),
    ("class", "a word of Python's own"),
    ("json", "Python's standard library"),
    ("numpy", "another package"),
    ("lume_services", "another package"),
    ("lume-services", "another package"),
    ("lume", "another package"),
    ("tests", "another package"),
    ("lume-base", "installed here"),
    ("pyyaml", "installed here"),
]


@pytest.mark.parametrize(("name", "message"), NAMES, ids=lambda value: repr(value)[:30])
def test_a_bad_name_is_refused(run: Run, folder: Path, name: str, message: str) -> None:
    refused(run("init", name, "--defaults"), message, folder)


ANSWERS = [
    (("--description", ""), "--description '': write one line"),
    (("--description", "one\ntwo"), "write one line of at most 255 characters"),
    (("--description", "a" * 256), "write one line of at most 255 characters"),
    (("--author", "a" * 51), "write one line of at most 50 characters, or nothing"),
    (("--beampath", "a\tb"), "--beampath"),
    (("--image", "Cell:1.0"), "without the tag: ghcr.io/my-group/cell"),
    (("--image", 'cell"'), "--image"),
    (("--directory", "no/such/folder"), "There is no folder"),
]


@pytest.mark.parametrize(("flags", "message"), ANSWERS, ids=lambda value: str(value)[:30])
def test_a_bad_answer_is_refused(
    run: Run, folder: Path, flags: Sequence[str], message: str
) -> None:
    refused(run("init", "cell", "--defaults", *flags), message, folder)


def test_without_a_terminal_nobody_is_asked(run: Run, folder: Path) -> None:
    done = run("init", "cell", "--author", "me")
    message = "give --description, --laboratory, --facility, --beampath, --image; or --defaults"
    refused(done, message, folder)


def test_a_folder_with_something_in_it_is_refused(run: Run, folder: Path) -> None:
    (folder / "cell").mkdir()
    (folder / "cell" / "notes.txt").write_text("mine")
    done = run("init", "cell", "--defaults")
    assert (done.code, "is there and not empty" in done.err) == (2, True)
    assert [path.name for path in (folder / "cell").iterdir()] == ["notes.txt"]
    done = run("init", "cell", "--defaults", "--directory", "cell/notes.txt")
    assert (done.code, "is a file" in done.err) == (2, True)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("broken"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("empty", [False, True], ids=["new", "empty"])
def test_what_fails_half_way_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, empty: bool
) -> None:
    def fail(template: str, into: Path, *_: object, **__: object) -> None:
        into.mkdir()
        (into / "README.md").write_text("half a")
        raise error

    monkeypatch.setattr(copier, "run_copy", fail)
    target = folder / "cell"
    if empty:
        target.mkdir()
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else PackageError
    with pytest.raises(expected):
        make_package("cell", target)
    assert [path for path in folder.rglob("*") if path != target] == []


def test_without_copier_it_says_what_to_install(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "copier", None)
    refused(run("init", "cell", "--defaults"), "pip install 'lume-services[packages]'", folder)


@pytest.mark.slow
def test_on_a_terminal_it_asks(folder: Path) -> None:
    code, said = on_terminal(
        ("init", "asked-cell", "--facility", "LCLS", "--image", "cell"),
        {"What the model is": "\r", "Who writes": "Me\r", "is used": "SLAC\r", "part of": "\r"},
    )
    assert code == 0, said
    assert "machine that it describes" not in said
    readme = (folder / "asked-cell" / "README.md").read_text()
    assert "--description 'asked cell' --author Me --laboratory SLAC --facility LCLS\n" in readme


@pytest.mark.slow
def test_interrupting_the_questions_leaves_nothing(folder: Path) -> None:
    code, said = on_terminal(("init", "asked-cell"), {"What the model is": "\x03"})
    assert code == 130, said
    assert "Traceback" not in said
    assert list(folder.iterdir()) == []


def refused(done: Done, message: str, folder: Path) -> None:
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) == 1
    assert list(folder.iterdir()) == []


def on_terminal(arguments: Sequence[str], answers: dict[str, str]) -> tuple[int, str]:
    """Run a command on a terminal and type an answer when its question is there."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "lume_services", *arguments]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said, waiting, deadline = "", list(answers.items()), monotonic() + 60
    try:
        while monotonic() < deadline:
            if not select.select([ours], [], [], 0.5)[0]:
                continue
            try:
                new = os.read(ours, 4096).decode(errors="replace")
            except OSError:  # it has ended
                break
            said += new
            if "\x1b[6n" in new:  # where the cursor is
                os.write(ours, b"\x1b[1;1R")
            if waiting and waiting[0][0] in said:
                os.write(ours, waiting.pop(0)[1].encode())
        else:
            process.kill()
        return process.wait(timeout=10), said
    finally:
        os.close(ours)
