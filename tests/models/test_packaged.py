"""Packaged models: stored, evaluated in their own environments, and never half there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from lume_services.config import configure, context
from lume_services.errors import (
    DeploymentNotFoundError,
    EnvironmentBuildError,
    FlowNotFoundError,
    InvalidInputError,
    ModelDBError,
    ModelFailedError,
    PackageError,
)
from lume_services.models import Model, rerun
from tests.commands import Run
from tests.environment.models import LENS, model_wheel
from tests.environment.test_archive import CASES, low_limits  # noqa: F401 - a fixture
from tests.environment.test_environments import LIBRARY

VARIABLES = """
from lume.model import LUMEModel
from lume.variables import ScalarVariable


class Quadrupole(LUMEModel):
    held = 0.3

    def __init__(self):
        self.values = {}

    @property
    def supported_variables(self):
        return {
            "k1": ScalarVariable(
                name="k1", default_value=1.0, value_range=(-5, 5), unit="1/m^2"
            ),
            "length": ScalarVariable(name="length", unit="m"),
            "f": ScalarVariable(name="f", unit="m", read_only=True),
        }

    def reset(self):
        self.values = {"k1": 1.0, "length": self.held}

    def _set(self, values):
        self.values.update(values)
        self.values["f"] = 1 / (self.values["k1"] * self.values["length"])

    def _get(self, names):
        return {name: self.values.get(name, self.held) for name in names}
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: None) -> Path:
    """Packages come from a folder alone, so that the network is not asked."""
    folder = tmp_path / "repository"
    for version in ("1.0", "2.0"):
        source = f"def focal(k):\n    return {version} / k\n"
        model_wheel(folder, version=version, **{**LIBRARY, "source": source})
    monkeypatch.setenv("LUME_ENVIRONMENT__LOCAL_PIP_REPOSITORY", str(folder))
    monkeypatch.setenv("LUME_PREFECT__ISOLATED", "true")
    configure()
    return folder


@pytest.fixture
def model() -> Model:
    return Model.create_model(description="thin lens", author="Ada")


def left_behind(home: Path) -> list[Path]:
    """What a deployment that was refused may not leave."""
    environments = home / "environments"
    kept = (".making", ".using", ".log")
    return [
        path
        for path in environments.rglob("*")
        if path.is_file() and path.suffix not in kept and "bin" not in path.parts
    ]


def test_from_a_package_to_a_result(model: Model, tmp_path: Path, lume_home: Path) -> None:
    said: list[str] = []
    wheel = model_wheel(tmp_path)
    deployment = model.store_deployment(wheel, project_name="lenses", tell=said.append)
    assert deployment.is_live
    assert (deployment.version, deployment.kind) == ("1.0", "package")
    assert deployment.source == str(wheel)
    assert deployment.environment == {
        "python": f"3.{sys.version_info.minor}",
        "platform": sysconfig.get_platform(),
    }
    assert [line.split()[0] for line in said] == ["Reading", "Finding", "Making", "Loading"]
    result = model.evaluate({"f": 4.0})
    assert result.outputs == {"xp": -0.25e-3, "version": "1.0"}
    assert (result.deployment_id, result.version) == (deployment.deployment_id, "1.0")
    assert result.project_name == "lenses"
    assert "thinlens==1.0" in result.provenance.package_list()
    assert model.run_and_return({"f": 4.0}).id == result.id
    assert len(model.get_results()) == 1
    wheel.unlink()  # the registry has it
    assert rerun(result) == []


def test_storing_again_finds_what_is_there(model: Model, tmp_path: Path) -> None:
    wheel = model_wheel(tmp_path)
    first = model.store_deployment(wheel)
    said: list[str] = []
    copy = model_wheel(tmp_path / "elsewhere")
    assert model.store_deployment(str(copy), tell=said.append) == first
    assert [line.split()[0] for line in said] == ["Reading", "Found", "Loading"]
    other = model_wheel(tmp_path / "other", source=LENS + "\nOTHER = 1\n")
    with pytest.raises(ModelDBError, match="stored with another sha256"):
        model.store_deployment(other)


def test_another_machine_makes_its_own_environment(
    model: Model, tmp_path: Path, lume_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = model_wheel(tmp_path, requires=["thicklens"])
    model.store_deployment(wheel)
    wheel.unlink()
    monkeypatch.setenv("LUME_MODEL_DB__URL", f"sqlite:///{lume_home}/models.db")
    monkeypatch.setenv("LUME_HOME", str(tmp_path / "elsewhere"))
    configure()
    assert Model.find("thin lens").evaluate({"f": 1.0}).outputs["version"] == "1.0"
    assert (tmp_path / "elsewhere" / "environments").is_dir()


def test_versions_that_need_other_libraries_in_one_program(model: Model, tmp_path: Path) -> None:
    source = (
        "from thicklens.model import focal\n\ndef lens(inputs):\n    return {'f': focal(2.0)}\n"
    )
    for version in ("1.0", "2.0"):
        wheel = model_wheel(
            tmp_path, version=version, source=source, requires=[f"thicklens=={version}"]
        )
        model.store_deployment(wheel)
    one, two = Model.find("thin lens"), Model.find("thin lens")
    one.load_deployment(version="1.0")
    two.load_deployment(version="2.0")
    found = [each.evaluate().outputs["f"] for each in (one, two, one, two)]
    assert found == [0.5, 1.0, 0.5, 1.0]
    assert [each.get_results()[0].version for each in (one, two)] == ["1.0", "2.0"]


def test_variables_are_known_without_the_package(model: Model, tmp_path: Path) -> None:
    # The source of lume-base is not in the folder; the caller's own does here.
    import lume

    path = f"import sys; sys.path.append({str(Path(lume.__path__[0]).parent)!r})\n"
    wheel = model_wheel(tmp_path, source=path + VARIABLES, model="Quadrupole")
    model.store_deployment(wheel)
    found = Model.find("thin lens")
    assert found.variables["length"]["default_value"] == 0.3
    with pytest.raises(InvalidInputError, match=r"k1=7.0 1/m\^2 is outside its range"):
        found.evaluate({"k1": 7.0})
    result = found.evaluate({"k1": 2})
    assert result.inputs == {"k1": 2.0, "length": 0.3}
    assert result.outputs["f"] == pytest.approx(1 / 0.6)
    frame = found.sweep([{"k1": k1} for k1 in (2.0, 3.0, 4.0)], max_workers=2)
    assert list(frame["outputs.f"]) == pytest.approx([1 / 0.6, 1 / 0.9, 1 / 1.2])


def test_a_sweep_in_several_processes(model: Model, tmp_path: Path) -> None:
    model.store_deployment(model_wheel(tmp_path))
    frame = model.sweep([{"f": f} for f in (1.0, 0.0, -1.0, 2.0)], max_workers=2)
    assert list(frame["status"]) == ["success", "failed", "failed", "success"]
    failures = model.get_results({"status": "failed"}, sort=[("inputs.f", 1)])
    assert [one.error["type"] for one in failures if one.error] == [
        "lume_services.errors.ModelFailedError",
        "ZeroDivisionError",
    ]
    assert model.sweep([{"f": 2.0}])["outputs.xp"].iloc[0] == -0.5e-3


def test_what_a_packaged_model_raises(model: Model, tmp_path: Path) -> None:
    model.store_deployment(model_wheel(tmp_path))
    with pytest.raises(ZeroDivisionError, match="a lens of no focal length") as raised:
        model.evaluate({"f": 0.0})
    assert any("in lens" in note for note in raised.value.__notes__)
    with pytest.raises(ModelFailedError, match=r"died \(exit code 3\)"):
        model.evaluate({"f": -1.0})
    assert [one.status for one in model.get_results()] == ["failed", "failed"]
    assert model.evaluate({"f": 1.0}).status == "success"


def test_not_live_promoted_and_rolled_back(model: Model, tmp_path: Path, run: Run) -> None:
    model.store_deployment(model_wheel(tmp_path))
    model.store_deployment(model_wheel(tmp_path, version="2.0"), is_live=False)
    assert model.deployment.version == "2.0"
    assert Model.find("thin lens").deployment.version == "1.0"
    run("deployments", "promote", "thin lens", "2.0")
    assert Model.find("thin lens").deployment.version == "2.0"
    done = run("deployments", "rollback", "thin lens")
    assert "Version 1.0 of 'thin lens' is live, in place of 2.0." in done.err
    assert Model.find("thin lens").deployment.version == "1.0"
    done = run("deployments", "rollback", "thin lens")
    assert done.code == 2
    assert "no version of 'thin lens' before 1.0" in done.err


def test_by_commands(tmp_path: Path, lume_home: Path, run: Run) -> None:
    wheel = model_wheel(tmp_path)
    run("models", "create", "--description", "lens")
    store = ("deployments", "store", str(wheel), "--model", "lens", "--project", "lenses")
    planned = run(*store, "--dry-run")
    assert "Nothing was done." in planned.err
    assert "thinlens.model:lens" in planned.out
    assert not list((lume_home / "environments").glob("*/environment.json"))
    stored = run(*store)
    assert stored.out == "1\n"
    shown = run("deployments", "show", "lens").out
    assert "thinlens.model:lens" in shown
    ran = run("run", "lens", "-p", "f=2.0", "--json").json
    assert ran["outputs"]["xp"] == -0.5e-3
    assert "All 2 outputs are the same" in run("results", "rerun", ran["id"]).err
    failed = run("run", "lens", "-p", "f=0")
    assert failed.code == 1
    assert "ZeroDivisionError: a lens of no focal length" in failed.err
    assert "Traceback" not in failed.err
    assert "0 folders removed" in run("deployments", "prune").err


def test_a_rerun_says_what_differs(model: Model, tmp_path: Path, run: Run) -> None:
    more = tmp_path / "more"
    more.write_text("0")
    source = (
        f"import numpy as np\ndef lens(i):\n    more = float(open({str(more)!r}).read())\n"
        "    return {'same': 1.0, 'beta': np.ones(3) + more, 'name': f'x{more}'}\n"
    )
    import numpy

    path = f"import sys; sys.path.append({str(Path(numpy.__path__[0]).parent)!r})\n"
    model.store_deployment(model_wheel(tmp_path, source=path + source))
    result = model.evaluate()
    more.write_text("0.5")
    done = run("results", "rerun", str(result.id), "--json")
    assert done.code == 1
    differences = {one["name"]: one["largest"] for one in done.json["differences"]}
    assert differences == {"beta": 0.5, "name": None}
    assert len(model.get_results()) == 1


REFUSED = {
    "broken import": {"source": "import no_such_module\n"},
    "raises": {"source": "raise RuntimeError('no licence server')\n"},
    "exits": {"source": "raise SystemExit(0)\n"},
    "dies": {"source": "import os\nos._exit(7)\n"},
    "no such name": {"model": "prism"},
    "no model": {"source": "lens = 3\n"},
    "hangs up": {"source": "import os\nos.close(1)\nos.close(2)\nraise OSError\n"},
    "not to be had": {"requires": ["no-such-library"]},
    "name of a library": {
        "name": "thicklens_model",
        "requires": ["thicklens"],
        "files": {
            "thicklens/__init__.py": "",
            "thicklens/model.py": "lens = dict\n",
            "thicklens_model-1.0.dist-info/entry_points.txt": (
                "[orchestration]\nthicklens.model = thicklens.model:lens\n"
            ),
        },
    },
    "another module of a library's name": {
        "requires": ["thicklens"],
        "files": {"thicklens.py": "focal = None\n"},
    },
    "name of Python's own": {"name": "queue"},
    "conflict": {"requires": ["thicklens<2", "thicklens>=2"]},
    "no metadata": {"files": {"thinlens-1.0.dist-info/METADATA": ""}},
    "another name": {"files": {"thinlens-1.0.dist-info/METADATA": "Metadata-Version: 2.1\n"
                               "Name: other\nVersion: 1.0\n"}},
    "no entry point": {"files": {"thinlens-1.0.dist-info/entry_points.txt": ""}},
}  # fmt: skip


@pytest.mark.parametrize("how", REFUSED)
def test_a_refused_package_leaves_nothing(
    model: Model, tmp_path: Path, lume_home: Path, how: str
) -> None:
    wheel = model_wheel(tmp_path, **REFUSED[how])
    with pytest.raises((PackageError, EnvironmentBuildError)) as raised:
        model.store_deployment(wheel)
    assert len(str(raised.value)) > 20
    assert left_behind(lume_home) == []
    with pytest.raises(DeploymentNotFoundError):
        context.model_db_service().get_deployments(model_id=model.model_id)
    with pytest.raises(FlowNotFoundError):
        context.model_db_service().get_flows()
    # And it stands in the way of nothing.
    model.store_deployment(model_wheel(tmp_path / "good"))


def test_a_registry_that_refuses_leaves_nothing(
    model: Model, tmp_path: Path, lume_home: Path
) -> None:
    wheel = model_wheel(tmp_path)
    with pytest.raises(ModelDBError, match="project_name takes up to 50"):
        model.store_deployment(wheel, project_name="x" * 51)
    assert left_behind(lume_home) == []


def test_an_environment_that_was_there_stays(model: Model, tmp_path: Path, lume_home: Path) -> None:
    model.store_deployment(model_wheel(tmp_path))
    broken = model_wheel(tmp_path, version="2.0", source="raise OSError\n")
    with pytest.raises(PackageError):
        model.store_deployment(broken)
    found = list((lume_home / "environments").glob("*/packages/*"))
    assert [path.name for path in found] == [model.deployment.sha256]


def test_a_package_that_is_installed_here_is_evaluated_here(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container of an image that was built with it."""
    wheel = model_wheel(tmp_path)
    model.store_deployment(wheel)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(pip, check=True, capture_output=True)
    code = (
        "import os, sys; from lume_services.config import configure; configure()\n"
        "from lume_services.models import Model\n"
        "print(Model.find('thin lens').evaluate({'f': 8.0}).outputs['xp'],"
        " 'thinlens.model' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "-0.000125 True"


STORE = (
    "import sys; from lume_services.config import configure; configure()\n"
    "from lume_services.models import Model\n"
    "Model.find('thin lens').store_deployment(sys.argv[1], 'lenses')\n"
    "print('done')"
)


@pytest.mark.slow
def test_twenty_kills_while_a_deployment_is_stored(
    model: Model, tmp_path: Path, lume_home: Path
) -> None:
    command = [sys.executable, "-c", STORE]
    registry = context.model_db_service()
    started = time.monotonic()
    wheel = model_wheel(tmp_path, requires=["thicklens"])
    subprocess.run([*command, wheel], check=True)
    whole = time.monotonic() - started
    moments = random.Random(5)
    for number in range(20):
        version = f"1.{number + 1}"
        wheel = model_wheel(tmp_path, version=version, requires=[f"thicklens=={number % 2 + 1}.0"])
        killed = subprocess.Popen([*command, wheel], stdout=subprocess.PIPE, text=True)
        time.sleep(moments.uniform(0.3, 1.0) * whole)
        killed.kill()
        told, _ = killed.communicate()
        try:
            there = registry.get_deployment(model_id=model.model_id, version=version)
        except DeploymentNotFoundError:
            assert "done" not in told
        else:  # all of it, or nothing
            flows = registry.get_flows(deployment_id=there.deployment_id)
            assert [flow.flow_name for flow in flows] == ["evaluate"]
            (folder := tmp_path / version).mkdir()
            assert registry.load_package(str(there.sha256), folder).stat().st_size
            found = Model.find("thin lens")
            found.load_deployment(version=version)
            assert found.evaluate({"f": 1.0}).outputs["version"] == version
    subprocess.run([*command, wheel], check=True)
    assert Model.find("thin lens").evaluate({"f": 3.0}).outputs["version"] == "1.20"
    assert list((lume_home / "environments" / "incoming").iterdir()) == []
    assert not list((lume_home / "environments").glob("*/packages/.incoming-*"))
    whole_ones = {p.parent for p in (lume_home / "environments").glob("*/environment.json")}
    assert {p for p in (lume_home / "environments").glob("*/") if len(p.name) == 32} == whole_ones


@pytest.mark.usefixtures("low_limits")
def test_no_hostile_archive_gets_anywhere(model: Model, tmp_path: Path, lume_home: Path) -> None:
    (folder := tmp_path / "hostile").mkdir()
    refused = 0
    for _, filename, data, _ in CASES:
        (folder / filename).write_bytes(data)
        with pytest.raises(PackageError):
            model.store_deployment(folder / filename)
        refused += 1
    assert refused == len(CASES) > 60
    assert left_behind(lume_home) == []
    assert list((lume_home / "environments" / "incoming").iterdir()) == []
    with pytest.raises(DeploymentNotFoundError):
        context.model_db_service().get_deployments()
    assert {path.name for path in tmp_path.iterdir()} == {"hostile", "repository"}


def test_a_flow_for_prefect_1_is_left_out_and_the_model_runs(model: Model, tmp_path: Path) -> None:
    """As packages of 0.x are: an entry point for each, and Prefect 1's way to write flows."""
    flow = "from prefect import Flow, Parameter\nwith Flow('x') as flow:\n    f = Parameter('f')\n"
    wheel = model_wheel(
        tmp_path,
        flow="thinlens.flow:flow",
        files={
            "thinlens/flow.py": flow,
            "thinlens/_image.py": "IMAGE = 'slaclab/thinlens:1.0'\n",
        },
    )
    said: list[str] = []
    deployment = model.store_deployment(wheel, tell=said.append)
    assert any("docs/migrating.md#flows" in line for line in said)
    assert deployment.image == "slaclab/thinlens:1.0"
    assert model.run_and_return({"f": 2.0}).outputs["xp"] == -0.5e-3
