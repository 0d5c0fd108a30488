"""``Flow``: named flows, found, checked and run on the configured backend."""

from __future__ import annotations

import sys
from pathlib import Path

import prefect
import pytest

from lume_services.config import configure, context
from lume_services.errors import (
    AmbiguousError,
    FlowError,
    FlowNotFoundError,
    InvalidInputError,
    RunError,
)
from lume_services.flows import Flow, flow, task
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import LocalBackend, RunState


@task
def double(x: float) -> float:
    return 2 * x


@flow(name="twice-and-more")
def compute(charge: float, offset: float = 1.0) -> float:
    return double(charge) + offset


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write modules of a package, each by its source."""
    count = 0

    def write(**modules: str) -> str:
        nonlocal count
        count += 1
        name = f"flows_of_test_{tmp_path.name.replace('-', '_')}_{count}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
        return name

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for module in [one for one in sys.modules if one.startswith("flows_of_test_")]:
        del sys.modules[module]


class TestRunning:
    @pytest.fixture(autouse=True)
    def configured(self) -> None:
        configure()

    def test_it_runs_on_the_configured_backend(self) -> None:
        wrapped = Flow("compute", "injector", prefect_flow=compute)
        run = wrapped.run({"charge": 2})
        assert run.wait(10) is RunState.COMPLETED
        assert run.result() == 5.0
        assert run.task_results() == {"double": 4.0}
        assert wrapped.run_and_return({"charge": 2, "offset": 0}) == 4.0
        assert wrapped.run_and_return({"charge": 2}, "double") == 4.0

    def test_a_task_without_a_result_is_told(self) -> None:
        with pytest.raises(RunError, match=r"'treble'; it has results of: double\."):
            Flow(prefect_flow=compute).run_and_return({"charge": 2}, task_name="treble")

    def test_a_users_exception_arrives(self) -> None:
        error = OSError("no beam")

        @flow
        def failing() -> None:
            raise error

        run = Flow(prefect_flow=failing).run()
        run.wait(10)
        for result in (run.result, Flow(prefect_flow=failing).run_and_return):
            with pytest.raises(OSError, match="no beam") as caught:
                result()
            assert caught.value is error

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            (
                {"chrge": 1},
                "Flow 'twice-and-more' has no parameter 'chrge'. Did you mean 'charge'?",
            ),
            ({"charge": 1, "zzz": 1}, "no parameter 'zzz'. It takes: charge, offset."),
            ({"offset": 1}, "Flow 'twice-and-more' needs a value for: charge."),
            (None, "needs a value for: charge."),
            ({"charge": "much"}, "Flow 'twice-and-more': "),
            ({"charge": "much"}, "charge: Input should be a valid number"),
        ],
    )
    def test_wrong_parameters_are_named(
        self, parameters: dict[str, float] | None, message: str
    ) -> None:
        wrapped = Flow(prefect_flow=compute)
        for run in (wrapped.run, wrapped.run_and_return):
            with pytest.raises(InvalidInputError) as caught:
                run(parameters)
            assert message in str(caught.value)

    def test_a_flow_that_takes_any_keyword(self) -> None:
        @flow
        def anything(**values: int) -> int:
            return sum(values.values())

        assert Flow(prefect_flow=anything).run_and_return({"a": 1, "b": 2}) == 3

    def test_registering_in_the_registry(self) -> None:
        registry = context.model_db_service()
        registry.apply_schema()
        model_id = registry.store_model("a", "SLAC", "LCLS", "cu_hxr", "an injector")
        deployment_id = registry.store_deployment(model_id, "1.0")
        wrapped = Flow("compute", "injector", prefect_flow=compute)
        flow_id = wrapped.register(deployment_id)
        assert wrapped.register(deployment_id) == flow_id
        stored = registry.get_flow(flow_name="compute", project_name="injector")
        assert (stored.flow_id, stored.deployment_id) == (flow_id, deployment_id)
        with pytest.raises(FlowError, match="not as part of a package"):
            Flow("compute", "injector").load()


def test_a_service_may_be_given() -> None:
    service = SchedulingService(LocalBackend())
    wrapped = Flow(prefect_flow=compute, project_name="injector")
    assert wrapped.run({"charge": 1}, service=service).result() == 3.0
    assert wrapped.run_and_return({"charge": 1}, service=service) == 3.0
    flow_id = wrapped.register(service=service)
    assert wrapped.register(service=service) == flow_id
    assert service.submit(flow_id=flow_id, parameters={"charge": 1}).result() == 3.0


def test_its_parameters_tell_names_and_defaults() -> None:
    parameters = Flow(prefect_flow=compute).parameters
    assert list(parameters) == ["charge", "offset"]
    assert parameters["offset"].default == 1.0


def test_it_is_named_and_given_once() -> None:
    assert Flow(prefect_flow=compute).name == "twice-and-more"
    assert repr(Flow("a", "b", prefect_flow=compute)) == "Flow(name='a', project_name='b')"
    with pytest.raises(FlowError, match="needs a name"):
        Flow(entrypoint="a:b")
    with pytest.raises(FlowError, match="not both"):
        Flow(prefect_flow=compute, entrypoint="a:b")


class TestEntryPoints:
    def test_a_flow_by_its_name(self, package) -> None:
        name = package(
            one="from lume_services.flows import flow\n@flow\ndef f(x: int): return x + 1\n"
            "@flow\ndef g(x: int): return x + 2\n"
        )
        service = SchedulingService(LocalBackend())
        wrapped = Flow("g", entrypoint=f"{name}.one:g")
        assert wrapped.run_and_return({"x": 1}, service=service) == 3

    @pytest.mark.parametrize("source", ["prefect", "lume_services.flows"])
    def test_the_decorator_in_place_of_the_flow(self, package, source: str) -> None:
        name = package(
            other=f"from {source} import flow\n@flow\ndef helper(): ...\n",
            flow=f"from {source} import flow\nfrom .other import helper\n"
            "@flow\ndef meant(x): return helper()\n",
        )
        for entrypoint in (
            f"{name}.flow:flow",
            f"{name}.flow:flow1",
            f"{name}.flow",
            f"{name}:flow",
        ):
            assert Flow("f", entrypoint=entrypoint).load().fn.__name__ == "meant", entrypoint

    def test_which_one_is_not_guessed(self, package) -> None:
        name = package(
            two="from prefect import flow\n@flow\ndef f(): ...\n@flow\ndef g(): ...\n", none=""
        )
        with pytest.raises(FlowError, match=r"is a FlowDecorator, not a flow.*: 'f', 'g'\."):
            Flow("f", entrypoint=f"{name}.two:flow").load()
        with pytest.raises(FlowError, match=r"'.*none:flow' is not there.*: none\."):
            Flow("f", entrypoint=f"{name}.none:flow").load()

    def test_a_module_that_cannot_be_imported(self) -> None:
        with pytest.raises(FlowError, match="'no_such_module:f' cannot be imported"):
            Flow("f", entrypoint="no_such_module:f").load()


class TestPackages:
    @pytest.fixture(autouse=True)
    def configured(self) -> None:
        configure()
        context.model_db_service().apply_schema()
        context.model_db_service().store_project("lcls")

    def store(self, version: str, package: str | None, *, is_live: bool = False) -> int:
        registry = context.model_db_service()
        model_id = registry.store_model("a", "SLAC", "LCLS", "cu_hxr", "an injector")
        deployment_id = registry.store_deployment(
            model_id, version, package_import_name=package, is_live=is_live
        )
        registry.store_flow(deployment_id=deployment_id, flow_name="run", project_name="lcls")
        return deployment_id

    def announce(self, folder: Path, package: str) -> None:
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[orchestration]\n{package}.flow = {package}.flow:flow\n"
        )

    def test_the_registry_knows_the_package(self, package, tmp_path: Path) -> None:
        source = "from prefect import flow\n@flow\ndef f(x): return {}\n"
        old, new = package(flow=source.format("'old'")), package(flow=source.format("'new'"))
        for name in (old, new):
            self.announce(tmp_path, name)
        self.store("1.0", old)
        assert Flow("run", "lcls").load().fn(0) == "old"
        second = self.store("2.0", new)
        with pytest.raises(AmbiguousError, match="several deployments: 1, 2"):
            Flow("run", "lcls").load()
        context.model_db_service().promote(second)
        assert Flow("run", "lcls").load().fn(0) == "new"

    def test_what_is_missing_is_told(self) -> None:
        with pytest.raises(FlowNotFoundError):
            Flow("walk", "lcls").load()
        self.store("1.0", "not_installed_here")
        with pytest.raises(FlowNotFoundError, match=r"'not_installed_here\.flow'.*installed here"):
            Flow("run", "lcls").load()


def test_plain_prefect_flows_can_be_wrapped() -> None:
    @prefect.flow
    def plain(x: int = 1) -> int:
        return x

    assert Flow(prefect_flow=plain).parameters["x"].default == 1
