"""Running the flow of a package, in a process with the Python of its environment."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, Final

from lume_services.context import context
from lume_services.environment.child import Child, variables_for
from lume_services.environment.environments import Environment
from lume_services.environment.services_wheel import services_wheel, wheel_digest
from lume_services.errors import ModelFailedError, ModelLoadError, PackageError
from lume_services.models._packaged import environments

__all__ = ["flow_of", "run_flow"]

_PROGRAM: Final = ("-s", "-P", "-u", "-m", "lume_services.job.packaged")
_LISTEN_S: Final = 0.1


def flow_of(entry_point: str, environment: Environment) -> tuple[str, str]:
    """The name of a flow, and the entry point where it is.

    Raises:
        PackageError: It cannot be loaded.
    """
    program = _Program(environment)
    answer = program.ask({"entry_point": entry_point}, logging.getLogger(__name__).log)
    if error := answer.get("error"):
        raise PackageError(f"{entry_point} cannot be loaded: {error}")
    return answer["name"], answer["entry_point"]


def run_flow(
    environment: Environment, flow_id: str, entry_point: str, parameters: Mapping[str, Any]
) -> Any:
    """Run a flow; to be called in a flow of this process, whose log has what that one logs.

    Args:
        environment: The environment.
        flow_id: The flow, under which its results are recorded.
        entry_point: Where the flow is in it.
        parameters: Its parameters by name.

    Returns:
        What it returned.

    Raises:
        ModelLoadError: It cannot be loaded.
        ModelFailedError: Its process died.
        Exception: What it raised, as far as this process knows the exception.
    """
    from prefect import get_run_logger

    from lume_services.services.scheduling.outcomes import Outcome, to_api

    results = context.results_db_service()
    settings = {
        name: text
        for name, text in context.settings.to_environment(include_secrets=True).items()
        if not name.startswith("LUME_JOB__")
    }
    program = _Program(environment)
    answer = program.ask(
        {
            "entry_point": entry_point,
            "flow_id": flow_id,
            "parameters": to_api(parameters, results.put_blob),
            "settings": {**settings, "LUME_BACKEND": "local"},
        },
        get_run_logger().log,
    )
    if error := answer.get("error"):
        raise ModelLoadError(f"{entry_point} cannot be run in {environment.folder}: {error}")
    outcome = Outcome.load(answer["outcome"], results.get_blob)
    if outcome.failure is not None:
        raise outcome.failure.exception()
    return outcome.value


class _Program:
    """``lume_services.job.packaged``, once."""

    def __init__(self, environment: Environment) -> None:
        services = environments().add(environment, wheel_digest(), services_wheel)
        self._python = environment.python
        self._variables = {
            **variables_for(environment.python),
            # What is logged is shown by who waits for it.
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
            "PYTHONPATH": os.pathsep.join((str(environment.package), str(services))),
        }

    def ask(self, request: Mapping[str, Any], log: Callable[..., None]) -> dict[str, Any]:
        """Its last answer; those before it are logged in the calling thread, whose run it is."""
        from lume_services.engine import check_stop

        child = Child([self._python, *_PROGRAM], self._variables)
        answers: SimpleQueue[bytes] = SimpleQueue()
        Thread(target=_read, args=(child.answers, answers), daemon=True).start()
        try:
            with suppress(BrokenPipeError), child.requests as requests:
                requests.write(json.dumps(request).encode())
            while True:
                check_stop()
                with suppress(Empty):
                    line = answers.get(timeout=_LISTEN_S)
                    if not line:
                        raise ModelFailedError(
                            f"The process of the flow died (exit code {child.process.wait()}); "
                            "what it printed may say why."
                        )
                    answer: dict[str, Any] = json.loads(line)
                    if "log" not in answer:
                        return answer
                    level, task, message = answer["log"]
                    log(level, "%s", message if task is None else f"{task}: {message}")
        finally:
            child.end()


def _read(stream: IO[bytes], answers: SimpleQueue[bytes]) -> None:
    with suppress(ValueError):  # closed meanwhile
        for line in stream:
            answers.put(line)
    answers.put(b"")
