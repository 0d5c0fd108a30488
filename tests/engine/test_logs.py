"""What runs log is kept with them and goes to no server."""

from __future__ import annotations

import logging
import threading

import prefect
import pytest
from prefect import get_run_logger
from prefect.logging.handlers import APILogHandler

from lume_services.engine import flow, local_run, task


@task
def talk(text: str) -> None:
    get_run_logger().warning("said %s", text)


@flow
def chatter(text: str) -> None:
    get_run_logger().info("begins")
    talk(text)
    talk.submit(text + "!").wait()


def said(run: object) -> list[tuple[str, str | None, str]]:
    return [(entry.level, entry.task, entry.message) for entry in run.logs]


def test_records_name_their_task() -> None:
    run = local_run(chatter, {"text": "a"})
    run.execute()
    assert said(run) == [
        ("INFO", None, "begins"),
        ("WARNING", "talk", "said a"),
        ("WARNING", "talk", "said a!"),
    ]
    assert run.logs[0].time.tzinfo is not None


def test_failures_and_retries_are_logged() -> None:
    @flow(retries=1)
    def failing() -> None:
        try:
            raise ValueError("deep")
        except ValueError:
            get_run_logger().exception("caught")
        raise OSError("shallow")

    run = local_run(failing, {})
    with pytest.raises(OSError, match="shallow"):
        run.execute()
    levels = [level for level, _, _ in said(run)]
    assert levels == ["ERROR", "INFO", "ERROR", "ERROR"]
    assert "ValueError: deep" in run.logs[0].message
    assert run.logs[1].message == "Failed with OSError('shallow'); retry 1 of 1 in 0 s"


def test_a_log_call_with_wrong_arguments_does_not_end_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest's own handlers raise; a program has none.
    of_prefect = [one for one in logging.root.handlers if hasattr(one, "console")]
    monkeypatch.setattr(logging.root, "handlers", of_prefect)

    @flow
    def careless() -> str:
        get_run_logger().info("%d of them", "a")
        return "went on"

    run = local_run(careless, {})
    assert run.execute() == "went on"
    assert [entry.message for entry in run.logs] == ["%d of them"]
    assert "Logging error" in capsys.readouterr().err, "logging tells of it as always"


def test_prints_are_logged_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    @task
    def inner() -> None:
        print("inner")

    @flow(log_prints=True)
    def outer() -> None:
        print("outer")
        inner.with_options(log_prints=None)()

    run = local_run(outer, {})
    run.execute()
    assert said(run) == [("INFO", None, "outer"), ("INFO", "inner", "inner")]
    print("not in a run")
    assert capsys.readouterr().out == "not in a run\n"


def test_the_logs_of_a_nested_flow_are_its_parents_too() -> None:
    @flow
    def outer() -> None:
        chatter("x")

    run = local_run(outer, {})
    run.execute()
    assert len(run.logs) == 3


def test_runs_at_the_same_time_keep_their_own() -> None:
    runs = {text: local_run(chatter, {"text": text}) for text in "abcd"}
    threads = [threading.Thread(target=run.execute) for run in runs.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text, run in runs.items():
        assert [message for _, _, message in said(run)] == [
            "begins",
            f"said {text}",
            f"said {text}!",
        ]


def test_no_record_is_handed_to_the_api(
    monkeypatch: pytest.MonkeyPatch, no_prefect_api: None
) -> None:
    prepared = []
    monkeypatch.setattr(APILogHandler, "prepare", lambda self, record: prepared.append(record))

    @prefect.task
    def plain() -> None:
        get_run_logger().error("plain")

    @flow
    def outer() -> None:
        chatter("x")
        plain()

    outer()
    talk("outside")
    assert not prepared
