"""Runs the flow of a package, in the environment of the package, for a process that waits.

It is started as ``python -m lume_services.job.packaged``. On its standard input is one JSON object:
``entry_point``, and to run it ``flow_id``, ``parameters`` as ``to_api`` makes them, ``settings``
(the ``LUME_*`` variables, secrets too, which therefore stand in no process list). Its argument is
the pipe of ``environment.child``.
It answers on its standard output, a line of JSON each: any number of ``log`` entries, and at last
``name`` and ``entry_point`` of the flow that was found, or ``outcome``, the digest of a blob; or
``error``. Everything else goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, TextIO

import prefect

from lume_services._log_record import LogRecord
from lume_services.config import configure, context
from lume_services.engine import local_run
from lume_services.environment.lume_inside.program import end_with_parent, keep_from_forks
from lume_services.errors import ModelLoadError
from lume_services.job._run import failed
from lume_services.services.scheduling.outcomes import Outcome, from_api

__all__ = ["main"]

_LISTEN_S: Final = 0.2


def main() -> None:
    """Answer the one question, and end."""
    request = json.load(sys.stdin)
    lifeline, copy = int(sys.argv[1]), os.dup(1)
    answers = os.fdopen(copy, "w", encoding="utf-8")
    os.dup2(2, 1)  # what the flow prints is no answer
    end_with_parent(lifeline)
    keep_from_forks(copy, lifeline)
    try:
        entry_point, flow = _flow(request["entry_point"])
        if "parameters" in request:
            answer = {"outcome": _outcome(flow, request, answers)}
        else:
            answer = {"name": flow.name, "entry_point": entry_point}
    except Exception as error:  # a module may raise anything while it is imported
        answer = {"error": f"{type(error).__name__}: {error}"}
    json.dump(answer, answers)
    answers.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that a flow has left behind are not waited for


def _outcome(flow: prefect.Flow[..., Any], request: Mapping[str, Any], answers: TextIO) -> str:
    os.environ.update(request["settings"])
    configure()
    results = context.results_db_service()
    parameters = from_api(request["parameters"], results.get_blob)
    try:
        local = local_run(flow, parameters, registered_as=request["flow_id"])
    except Exception as error:  # a parameter is wrong
        return failed(error).store(results.put_blob)
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(local.logs, over, answers))
    teller.start()
    try:
        outcome = Outcome(local.execute(), task_results=local.task_results())
    except BaseException as error:  # of the flow's, SystemExit and the like too
        outcome = failed(error, local)
    finally:
        over.set()
        teller.join()
    digest = outcome.store(results.put_blob)
    context.close()
    return digest


def _tell(logs: list[LogRecord], over: threading.Event, answers: TextIO) -> None:
    """Pass on what the flow logs, as it does."""
    told = 0
    while True:
        was_over = over.wait(_LISTEN_S)
        for one in logs[told:]:
            told += 1
            level = logging.getLevelNamesMapping().get(one.level, logging.INFO)
            json.dump({"log": [level, one.task, one.message]}, answers)
            answers.write("\n")
        answers.flush()
        if was_over:
            return


def _flow(entry_point: str) -> tuple[str, prefect.Flow[..., Any]]:
    """The flow that an entry point means, and where it is.

    In packages of 0.x it may name what the module has imported as ``flow``; then the one flow that
    the module makes is meant.
    """
    module_name, _, name = entry_point.partition(":")
    module = import_module(module_name)
    found = getattr(module, name, None)
    if isinstance(found, prefect.Flow):
        return entry_point, found
    flows = {
        own: value
        for own, value in vars(module).items()
        if isinstance(value, prefect.Flow) and value.fn.__module__ == module_name
    }
    if len(flows) != 1:
        raise ModelLoadError(
            f"{entry_point} is not a flow, and {module_name} makes "
            f"{', '.join(flows) or 'none'}: let the entry point name the one that is meant"
        )
    ((name, flow),) = flows.items()
    return f"{module_name}:{name}", flow


if __name__ == "__main__":
    main()
