"""The program: it loads a model, and evaluates it whenever it is asked."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .channel import Channel
from .kinds import evaluation_of, held_values, made, schema, variables_of

__all__ = ["end_with_parent", "keep_from_forks", "main"]


def main() -> None:
    """Serve the one model that the first message names."""
    requests, answers = os.dup(0), os.dup(1)
    # What the model prints must not get between the messages.
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    folder, lifeline = sys.argv[2], int(sys.argv[3])
    end_with_parent(lifeline, folder)
    keep_from_forks(requests, answers, lifeline)
    channel = Channel(os.fdopen(requests, "rb"), os.fdopen(answers, "wb"), Path(folder))
    with suppress(EOFError, BrokenPipeError):
        _serve(channel)
    os._exit(0)  # threads that a model has left behind are not waited for


def end_with_parent(lifeline: int, folder: str | None = None) -> None:
    """End when the pipe that the parent holds is closed, which it is however the parent ends.

    Args:
        lifeline: The pipe.
        folder: A folder to remove then.
    """

    def wait() -> None:
        os.read(lifeline, 1)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)  # what the model has started as well

    os.set_inheritable(lifeline, False)
    threading.Thread(target=wait, daemon=True).start()


def keep_from_forks(*descriptors: int) -> None:
    """Close these in processes that are forked from this one.

    With a copy of a pipe's end in one of them, who is at the other end would wait for it.
    """

    def close() -> None:
        for one in descriptors:
            with suppress(OSError):
                os.close(one)

    os.register_at_fork(after_in_child=close)


def _serve(channel: Channel) -> None:
    try:
        request = channel.receive()
        sys.path[:0] = request["path"]
        model = made(_found(request["entry_point"]))
        variables = variables_of(model)
        evaluate = evaluation_of(model, variables)
        described = {name: schema(variable) for name, variable in variables.items()}
        held = held_values(model, variables)
        answer = {"variables": described, "held": held, **_environment()}
    except EOFError:
        raise
    except BaseException as error:  # a module may raise anything while it is imported
        channel.send(_described(error))
        return
    channel.send(answer)
    while True:
        try:
            request = channel.receive()
        except EOFError:
            raise
        except Exception as error:  # of a library that is not here, or is another
            channel.send(_described(error))
            continue
        started = datetime.now(timezone.utc)
        clock = time.perf_counter()
        try:
            outputs = evaluate(request["inputs"])
            took = time.perf_counter() - clock
            if not isinstance(outputs, Mapping):
                raise TypeError(
                    f"the model returned {type(outputs).__name__}, not a dictionary of outputs by "
                    "name"
                )
            answer = {"outputs": dict(outputs), "started": started, "duration_s": took}
            channel.send(answer)
        except BrokenPipeError:
            raise
        except BaseException as error:  # whatever the model raises is recorded
            took = time.perf_counter() - clock
            channel.send({**_described(error), "started": started, "duration_s": took})


def _found(entry_point: str) -> Any:
    module_name, _, name = entry_point.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _environment() -> dict[str, Any]:
    from importlib.metadata import distributions

    packages = {f"{one.metadata['Name']}=={one.version}" for one in distributions()}
    return {"python": sys.version.split()[0], "packages": sorted(packages, key=str.lower)}


def _described(error: BaseException) -> dict[str, Any]:
    try:
        message = str(error)
    except Exception:  # a broken __str__ must not hide that the model failed
        message = f"(a {type(error).__name__} that cannot be shown)"
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    described = {
        "type": name[len("builtins.") :] if name.startswith("builtins.") else name,
        "message": message,
        "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
    }
    # Messages quote file names and data, which may not be valid Unicode.
    return {
        "error": {name: text.encode(errors="replace").decode() for name, text in described.items()}
    }
