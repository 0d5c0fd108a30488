"""Flows of packages: run in their environment, with the LUME-services that is running here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.errors import InvalidInputError, ModelFailedError, ModelLoadError, PackageError
from lume_services.models import Model, rerun
from lume_services.services.scheduling.backends import RunState
from tests.environment.models import model_wheel
from tests.environment.test_process import is_alive, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# As in packages of 0.x, the entry point names what the module has imported as `flow`.
FLOW = '''
import os
import time
from pathlib import Path

from lume_services.flows import flow, task
from lume_services.results import Result
from lume_services.tasks import configure_lume_services, save_db_result
from prefect import get_run_logger

from thinlens.model import lens


@task
def bend(f: float) -> float:
    get_run_logger().info("bending by %s", f)
    return lens({"f": f})["xp"]


@flow(name="bend-twice")
def bend_twice(f: float = 1.0, how: str = "", told: str = "") -> float:
    """Two lenses, one behind the other."""
    configure_lume_services()
    get_run_logger().warning("two lenses")
    if how == "raise":
        raise LookupError(f"no lens of f={f}")
    if how == "die":
        os._exit(5)
    if how == "wait":
        Path(told).write_text(str(os.getpid()))
        while True:
            time.sleep(0.1)
    total = bend(f) + bend(2 * f)
    save_db_result(Result(inputs={"f": f}, outputs={"xp": total}))
    return total
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LUME_HOME with the package in it, for all tests here: its environment takes a while."""
    home = tmp_path_factory.mktemp("home")
    configure(LUMEServicesSettings(home=home))
    wheel = model_wheel(
        home / "wheels", flow="thinlens.flow:flow", files={"thinlens/flow.py": FLOW}
    )
    Model.create_model(description="two lenses").store_deployment(wheel, "lenses")
    context.close()
    return home


@pytest.fixture
def model(home: Path, lume_home: Path) -> Model:
    configure(LUMEServicesSettings(home=home))
    return Model.find("two lenses")


def test_it_gives_what_it_returns_and_records(
    model: Model, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (model.run_flow.flow_name, model.run_flow.entry_point) == (
        "bend-twice",
        "thinlens.flow:bend_twice",
    )
    run = model.run({"f": 4.0})
    assert run.result(120) == pytest.approx(-0.375e-3)
    lines = [(one.level, one.message) for one in run.log_records()]
    assert ("WARNING", "two lenses") in lines
    assert ("INFO", "bend: bending by 4.0") in lines
    assert capfd.readouterr().err.count("two lenses") <= 1, "shown by its process as well"
    (result,) = model.get_results({"inputs.f": 4.0})
    assert (result.version, result.project_name) == ("1.0", "lenses")
    assert result.flow_id == model.run_flow.flow_id
    assert result.provenance is not None
    assert "thinlens==1.0" in result.provenance.package_list()
    assert model.evaluate({"f": 4.0}).outputs["xp"] == -0.25e-3


def test_what_it_records_is_computed_again(model: Model) -> None:
    """By the model of that version at the recorded inputs, which here bends once, not twice."""
    model.run_and_return({"f": 5.0})
    (result,) = model.get_results({"inputs.f": 5.0})
    assert {one.name: one.now for one in rerun(result)} == {"xp": -0.2e-3, "version": "1.0"}


def test_what_it_raises(model: Model) -> None:
    with pytest.raises(LookupError, match=r"no lens of f=1\.0") as raised:
        model.run_and_return({"how": "raise"})
    assert any("in bend_twice" in note for note in raised.value.__notes__)
    with pytest.raises(InvalidInputError, match="no parameter 'focal'"):
        model.run_and_return({"focal": 1.0})
    with pytest.raises(ModelFailedError, match=r"died \(exit code 5\)"):
        model.run_and_return({"how": "die"})


def test_an_environment_of_another_release_is_recognised(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lume_services.models._packaged.requirements_of_flows", lambda: ["prefect>=99"]
    )
    with pytest.raises(ModelLoadError, match=r"has prefect==3.*needs prefect>=99"):
        model.run_and_return({"f": 1.0})


def test_it_is_cancelled(model: Model, tmp_path: Path) -> None:
    told = tmp_path / "told"
    run = model.run({"how": "wait", "told": str(told)})
    wait_for(lambda: told.exists() and bool(told.read_text()), 120)
    pid = int(told.read_text())
    run.cancel()
    assert run.wait(30) is RunState.CANCELLED
    wait_for(lambda: not is_alive(pid))


def test_passwords_are_in_no_process_list(
    model: Model, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_ENVIRONMENT__TOKEN", "s3cret-token")
    monkeypatch.setenv("LUME_HOME", str(home))
    configure()
    told = tmp_path / "told"
    run = Model.find("two lenses").run({"how": "wait", "told": str(told)})
    wait_for(lambda: told.exists() and bool(told.read_text()), 120)
    process = Path("/proc") / told.read_text()
    shown = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
    run.cancel()
    run.wait(30)
    assert b"lume_services.job.packaged" in shown
    assert b"s3cret-token" not in shown


def test_a_flow_that_cannot_be_loaded_is_refused(model: Model, tmp_path: Path, home: Path) -> None:
    for version, source, said in (
        ("2.0", "import no_such_module\nflow = 1\n", "No module named 'no_such_module'"),
        ("2.1", "flow = 1\n", "is not a flow, and thinlens.flow makes none"),
    ):
        wheel = model_wheel(
            tmp_path,
            version=version,
            flow="thinlens.flow:flow",
            files={"thinlens/flow.py": source},
        )
        started = time.monotonic()
        with pytest.raises(PackageError, match=said):
            model.store_deployment(wheel)
        print(f"refused in {time.monotonic() - started:.1f} s")
    assert model.load_deployment().version == "1.0"
    packages = home.glob("environments/*/packages/*")
    assert [path.name for path in packages] == [model.deployment.sha256]
    assert os.environ.get("PREFECT_API_URL") is None
