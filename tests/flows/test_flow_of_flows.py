"""``FlowOfFlows``: flows that feed each other."""

from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from lume_services.config import configure, context
from lume_services.errors import (
    FlowError,
    FlowOfFlowsError,
    InvalidInputError,
    LUMEServicesWarning,
    RunCancelledError,
    RunError,
    RunTimeoutError,
)
from lume_services.files import TextFile
from lume_services.flows import (
    DBMappedParameter,
    FileMappedParameter,
    Flow,
    FlowOfFlows,
    RawMappedParameter,
    flow,
    task,
)
from lume_services.results import Result
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import LocalBackend, RunState
from lume_services.tasks import SaveFile, load_file, save_db_result

EXAMPLE = Path(__file__).parents[2] / "examples" / "flow_of_flows"

save_text_file = SaveFile(name="save_text_file")
go = threading.Event()


@task
def append(text1: str, text2: str) -> str:
    return text1 + text2


@flow
def flow1(text1: str, text2: str, filename: str) -> None:
    save_text_file(append(text1, text2), filename, file_type=TextFile)


@flow
def flow2(file_rep: dict[str, Any]) -> None:
    text = load_file(file_rep)
    save_db_result(Result(inputs={"input1": text}, outputs={"output1": {"texts": [text]}}))


@flow
def flow3(text1: str, text2: str = "hey you") -> bool:
    return text1 == text2


@task
def number(x: float) -> float:
    if x < 0:
        raise ValueError("negative")
    return x


@flow
def source(x: float) -> None:
    number(x)


@flow
def double(x: float) -> float:
    return 2 * number(x)


@flow
def add(x: float, y: float) -> float:
    return x + y


@flow
def late_name() -> None:
    number.with_options(name="renamed")(1)


TASKS = {f"t{n}": number.with_options(name=f"table-{n}") for n in range(5)}


@flow
def looked_up(n: int = 3) -> None:
    TASKS["t" + str(n)](1)


MODULE = __name__


def raw(parent: str, task_name: str = "number") -> RawMappedParameter:
    return RawMappedParameter(parent_flow_name=parent, parent_task_name=task_name)


@pytest.fixture
def service() -> SchedulingService:
    return SchedulingService(LocalBackend())


def diamond() -> FlowOfFlows:
    return FlowOfFlows(
        "diamond",
        composing_flows=[
            Flow("sum", prefect_flow=add, mapped_parameters={"x": raw("left"), "y": raw("right")}),
            Flow("left", prefect_flow=double, mapped_parameters={"x": raw("top")}),
            Flow("right", prefect_flow=double, mapped_parameters={"x": raw("top")}),
            Flow("top", prefect_flow=source),
        ],
    )


class TestRunning:
    def test_values_files_and_results_are_passed_on(self, tmp_path: Path) -> None:
        configure()
        whole = FlowOfFlows(
            "texts",
            "test",
            composing_flows=[
                Flow("flow1", "test", prefect_flow=flow1),
                Flow(
                    "flow2",
                    "test",
                    prefect_flow=flow2,
                    mapped_parameters={
                        "file_rep": FileMappedParameter(
                            parent_flow_name="flow1", parent_task_name="save_text_file"
                        )
                    },
                ),
                Flow(
                    "flow3",
                    "test",
                    prefect_flow=flow3,
                    mapped_parameters={
                        "text1": DBMappedParameter(
                            parent_flow_name="flow2",
                            parent_task_name="save_db_result",
                            attribute="outputs",
                            attribute_index=["output1", "texts", 0],
                        )
                    },
                ),
            ],
        )
        assert list(whole.parameters) == [
            "flow1-text1",
            "flow1-text2",
            "flow1-filename",
            "flow3-text2",
        ]
        values = {
            "flow1-text1": "hey",
            "flow1-text2": " you",
            "flow1-filename": str(tmp_path / "text.txt"),
        }
        assert whole.run_and_return(values) == {"flow1": None, "flow2": None, "flow3": True}

    def test_flows_run_in_order_of_need(self, service: SchedulingService) -> None:
        whole = diamond()
        assert next(iter(whole.composing_flows)) == "top"
        assert list(whole.composing_flows)[-1] == "sum"
        run = whole.run({"top-x": 3}, service=service)
        assert run.result(10) == {"top": None, "left": 6, "right": 6, "sum": 6}
        assert run.state is RunState.COMPLETED
        assert set(run.runs) == {"top", "left", "right", "sum"}
        assert run.task_result("sum") == 6
        assert run.logs() == []

    def test_flows_that_do_not_need_each_other_run_at_the_same_time(
        self, service: SchedulingService
    ) -> None:
        together = threading.Barrier(2, timeout=10)

        @flow
        def meet(x: float) -> None:
            together.wait()

        parts = [
            Flow(name, prefect_flow=meet, mapped_parameters={"x": raw("top")})
            for name in ("one", "other")
        ]
        whole = FlowOfFlows("both", composing_flows=[*parts, Flow("top", prefect_flow=source)])
        assert whole.run({"top-x": 1}, service=service).wait(10) is RunState.COMPLETED

    def test_a_failure_stops_those_that_need_it_and_no_others(
        self, service: SchedulingService
    ) -> None:
        other = Flow("other", prefect_flow=double)
        whole = FlowOfFlows("diamond", composing_flows=[*diamond().composing_flows.values(), other])
        run = whole.run({"top-x": -1, "other-x": 1}, service=service)
        assert run.wait(10) is RunState.FAILED
        with pytest.raises(RunError) as caught:
            run.result()
        assert str(caught.value) == (
            "Flow of flows 'diamond' failed in flow 'top': ValueError('negative'). "
            "Not started for that: left, right, sum."
        )
        assert isinstance(caught.value.__cause__, ValueError)
        assert set(run.runs) == {"top", "other"}
        assert run.task_results() == {"other": 2}

    def test_a_value_that_does_not_fit_is_told(self, service: SchedulingService) -> None:
        for mapped, message in (
            (
                FileMappedParameter(parent_flow_name="top", parent_task_name="number"),
                "1.0 is not the record of a file",
            ),
            (
                DBMappedParameter(
                    parent_flow_name="top", parent_task_name="number", attribute="outputs"
                ),
                "1.0 is not the representation of a stored result",
            ),
        ):
            whole = FlowOfFlows(
                "whole",
                composing_flows=[
                    Flow("top", prefect_flow=source),
                    Flow("low", prefect_flow=double, mapped_parameters={"x": mapped}),
                ],
            )
            with pytest.raises(RunError) as caught:
                whole.run_and_return({"top-x": 1}, service=service)
            assert (
                f"Flow 'low', parameter 'x', mapped from task 'number' of flow 'top': {message}"
            ) in str(caught.value)

    def test_a_task_that_did_not_run_is_told(self, service: SchedulingService) -> None:
        @flow
        def skips(run_it: bool = False) -> None:
            if run_it:
                number(1)

        whole = FlowOfFlows(
            "whole",
            composing_flows=[
                Flow("top", prefect_flow=skips),
                Flow("low", prefect_flow=double, mapped_parameters={"x": raw("top")}),
            ],
        )
        with pytest.raises(RunError, match="has no result of a task 'number'"):
            whole.run_and_return(service=service)

    def test_waiting_and_cancelling(self, service: SchedulingService) -> None:
        go.clear()

        @task
        def wait_for_go() -> None:
            go.wait(10)

        @flow
        def blocked(x: float) -> None:
            wait_for_go()
            wait_for_go()

        whole = FlowOfFlows(
            "whole",
            composing_flows=[
                Flow("one", prefect_flow=blocked),
                Flow(
                    "two", prefect_flow=double, mapped_parameters={"x": raw("one", "wait_for_go")}
                ),
            ],
        )
        run = whole.run({"one-x": 1}, service=service)
        with pytest.raises(RunTimeoutError):
            run.wait(0.01)
        assert run.state is RunState.RUNNING
        run.cancel()
        go.set()
        assert run.wait(10) is RunState.CANCELLED
        with pytest.raises(RunCancelledError):
            run.result()

    def test_wrong_parameters_are_named(self, service: SchedulingService) -> None:
        with pytest.raises(InvalidInputError, match=r"'top-y'\. Did you mean 'top-x'"):
            diamond().run({"top-y": 1}, service=service)
        with pytest.raises(InvalidInputError, match="'left-x'"):
            diamond().run({"top-x": 1, "left-x": 1}, service=service)
        with pytest.raises(InvalidInputError, match="needs a value for: top-x"):
            diamond().run(service=service)


def spec() -> dict[str, Any]:
    return {
        "name": "whole",
        "project_name": "test",
        "labels": ["lume-services"],
        "composing_flows": [
            {"name": "source", "entrypoint": f"{MODULE}:source"},
            {
                "name": "double",
                "project_name": "test",
                "entrypoint": f"{MODULE}:double",
                "mapped_parameters": {
                    "x": {
                        "parent_flow_name": "source",
                        "parent_project_name": "test",
                        "parent_task_name": "number",
                    }
                },
            },
        ],
    }


AT_FAULT = "Flow 'double', parameter 'x', mapped from task 'number' of flow 'source'"


def change(content: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    content = copy.deepcopy(content)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place: Any = content
    for step in steps:
        place = place[step]
    place[last] = value
    return content


class TestYAML:
    def test_the_kinds_of_mapping(self, tmp_path: Path) -> None:
        file = tmp_path / "flows.yaml"
        file.write_text(yaml.safe_dump(spec()))
        for given in (file, str(file), spec()):
            whole = FlowOfFlows.from_yaml(given)
            assert (whole.name, whole.project_name) == ("whole", "test")
            mapped = whole.composing_flows["double"].mapped_parameters["x"]
            assert isinstance(mapped, RawMappedParameter), "raw when it does not say"
        service = SchedulingService(LocalBackend())
        assert whole.run_and_return({"source-x": 2}, service=service)["double"] == 4

    @pytest.mark.parametrize(
        ("path", "value", "messages"),
        [
            ("composing_flows/1/mapped_parameters/x/parent_flow_name", "sorce",
             ["Flow 'double', parameter 'x', mapped from task 'number' of flow 'sorce'",
              "composing flows, which are: source, double"]),
            ("composing_flows/1/mapped_parameters/x/parent_project_name", "other",
             [AT_FAULT, "in project 'other': that flow is in project 'test'"]),
            ("composing_flows/1/mapped_parameters",
             {"z": {"parent_flow_name": "source", "parent_task_name": "number"}},
             ["Flow 'double', parameter 'z', mapped from task 'number' of flow 'source'",
              "no such parameter; it has: x"]),
            ("composing_flows/1/mapped_parameters/x/map_type", "pickle",
             ["composing_flows -> 'double' -> mapped_parameters -> x", "pickle"]),
            ("composing_flows/1/mapped_parameters/x/map_type", "db",
             ["'double' -> mapped_parameters -> x -> attribute: Field required"]),
            ("composing_flows/1/mapped_parameters/x/attribute", "outputs",
             ["'double' -> mapped_parameters -> x -> attribute: Extra inputs"]),
            ("composing_flows/1/entrypont", "a:b", ["'double' -> entrypont: Extra inputs"]),
            ("composing_flows/1/name", "source", ["'whole' has two flows 'source'"]),
            ("composing_flows", [], ["'whole' has no composing flows"]),
            ("name", None, ["name: Input should be a valid string"]),
        ],
    )  # fmt: skip
    def test_what_is_at_fault_is_named(self, path: str, value: object, messages: list[str]) -> None:
        with pytest.raises(FlowOfFlowsError) as caught:
            FlowOfFlows.from_yaml(change(spec(), path, value))
        for message in messages:
            assert message in str(caught.value)

    def test_a_task_that_looks_mistyped_is_warned_about_and_named_when_it_is_missing(self) -> None:
        path = "composing_flows/1/mapped_parameters/x/parent_task_name"
        at_fault = "Flow 'double', parameter 'x', mapped from task 'numbr' of flow 'source'"
        with pytest.warns(LUMEServicesWarning, match=f"{at_fault}: did you mean 'number'?") as told:
            whole = FlowOfFlows.from_yaml(change(spec(), path, "numbr"))
        assert len(told) == 1
        service = SchedulingService(LocalBackend())
        with pytest.raises(RunError) as caught:
            whole.run_and_return({"source-x": 2}, service=service)
        assert f"{at_fault}: " in str(caught.value)
        assert "no result of a task 'numbr'; it has results of: number." in str(caught.value)

    def test_a_flow_that_cannot_be_imported(self) -> None:
        wrong = change(spec(), "composing_flows/0/entrypoint", "no_such_module:f")
        with pytest.raises(FlowError, match="no_such_module"):
            FlowOfFlows.from_yaml(wrong)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(FlowOfFlowsError, match=r"missing\.yaml cannot be read"):
            FlowOfFlows.from_yaml(tmp_path / "missing.yaml")
        (tmp_path / "bad.yaml").write_text("name: [")
        with pytest.raises(FlowOfFlowsError, match=r"bad\.yaml cannot be read"):
            FlowOfFlows.from_yaml(tmp_path / "bad.yaml")
        (tmp_path / "list.yaml").write_text("- name")
        with pytest.raises(FlowOfFlowsError, match=r"list\.yaml is wrong: the whole"):
            FlowOfFlows.from_yaml(tmp_path / "list.yaml")


def test_it_is_stored_in_the_registry_with_its_parts_in_order() -> None:
    configure()
    registry = context.model_db_service()
    model_id = registry.store_model("a", "SLAC", "LCLS", "cu_hxr", "an injector")
    deployment_id = registry.store_deployment(model_id, "1.0")
    whole = diamond()
    flow_id = whole.register(deployment_id)
    assert whole.register(deployment_id) == flow_id
    parts = registry.get_flow_of_flows(parent_flow_id=flow_id)
    assert [part.flow_name for part in parts] == list(whole.composing_flows)
    assert registry.get_flow(flow_id=flow_id).flow_name == whole.name


def test_a_cycle_is_refused() -> None:
    parts = [
        Flow("a", prefect_flow=double, mapped_parameters={"x": raw("b")}),
        Flow("b", prefect_flow=double, mapped_parameters={"x": raw("c")}),
        Flow("c", prefect_flow=double, mapped_parameters={"x": raw("a")}),
    ]
    with pytest.raises(FlowOfFlowsError, match=r"'loop': the flows wait for each other: .* -> "):
        FlowOfFlows("loop", composing_flows=parts)
    with pytest.raises(FlowOfFlowsError, match="a -> a"):
        FlowOfFlows(
            "self",
            composing_flows=[Flow("a", prefect_flow=double, mapped_parameters={"x": raw("a")})],
        )


@pytest.mark.parametrize(("top", "task_name"), [(late_name, "renamed"), (looked_up, "table-3")])
def test_a_task_that_shows_only_in_the_run_is_found(
    service: SchedulingService, top: Any, task_name: str
) -> None:
    whole = FlowOfFlows(
        "whole",
        composing_flows=[
            Flow("top", prefect_flow=top),
            Flow("low", prefect_flow=double, mapped_parameters={"x": raw("top", task_name)}),
        ],
    )
    assert whole.run_and_return(service=service)["low"] == 2


def test_flows_are_started_after_the_end_of_the_program_too() -> None:
    script = (
        "import threading\n"
        "from lume_services.flows import Flow, FlowOfFlows, RawMappedParameter, flow, task\n"
        "from lume_services.services.scheduling import SchedulingService\n"
        "from lume_services.services.scheduling.backends import LocalBackend\n"
        "@task\n"
        "def double(x):\n"
        "    return 2 * x\n"
        "@flow\n"
        "def top(x):\n"
        "    threading.main_thread().join()\n"
        "    double.submit(x)\n"
        "@flow\n"
        "def low(x):\n"
        "    print(double.map([x, x]).result())\n"
        "mapped = RawMappedParameter(parent_flow_name='top', parent_task_name='double')\n"
        "parts = [Flow('top', prefect_flow=top),\n"
        "    Flow('low', prefect_flow=low, mapped_parameters={'x': mapped})]\n"
        "service = SchedulingService(LocalBackend())\n"
        "FlowOfFlows('whole', composing_flows=parts).run({'top-x': 1}, service=service)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[4, 4]\n", done.stderr


def test_the_shipped_example_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    module_spec = importlib.util.spec_from_file_location("fodo_run", EXAMPLE / "run.py")
    assert module_spec is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    module.main()
    printed = capsys.readouterr().out
    assert "optics-focal_length" in printed
    # sin(mu/2) = 10 m / (4 * 4 m), 16 cells
    assert "Tune 3.4384" in printed
