"""Starting all services and waiting until their health checks say that they are ready."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import IO, Final

from lume_services.docker._compose import Compose, ServiceStatus, docker
from lume_services.docker._settings import IMAGE, PORTS
from lume_services.docker.image import DEFAULT_IMAGE
from lume_services.errors import StackError

__all__ = ["check_images", "start_all"]

_LINES: Final = 20
_PAUSE_S: Final = 0.5
_RESTARTS: Final = 3
_PORT_TAKEN: Final = re.compile(r"127\.0\.0\.1:(\d+)\b[^\n]*(?:already in use|already allocated)")


def check_images(images: Mapping[str, str], tell: Callable[[str], object]) -> None:
    """Say which images have to be fetched.

    Raises:
        StackError: One is missing that can only be made here.
    """
    for image in sorted(set(images.values())):
        if _has(image):
            continue
        if image == DEFAULT_IMAGE:
            raise StackError(
                f"The image {image!r}, which the worker runs in, is not here. Make it: "
                "`lume-services docker build --with ./my_models`, or name another in "
                f"{IMAGE}."
            )
        tell(f"The image {image} is not here yet: it is fetched.")


def start_all(
    compose: Compose,
    images: Mapping[str, str],
    *,
    ports: Mapping[str, str],
    timeout_s: float,
    tell: Callable[[str], object],
) -> None:
    """Start every service and wait until it is healthy.

    Args:
        compose: The project.
        images: Its services, with their images.
        ports: The ports on this machine, by their variables.
        timeout_s: Seconds, from the first container on.
        tell: Is given a line for each service that is ready.

    Raises:
        StackError: An image is missing, a port is taken, or a service is not ready in time.
    """
    begin = time.monotonic()
    deadline = None
    ready: set[str] = set()
    restarts = {one.container: one.restarts for one in compose.status(images)}
    with compose.starting() as (process, said):
        while True:
            ended = process.poll()
            found = compose.status(images)
            for one in found:
                if one.ready and one.name not in ready:
                    tell(f"{one.name} is {one.state} after {time.monotonic() - begin:.0f} s.")
                    ready.add(one.name)
            if ended:
                raise _failed(_read(said), images, found, ports)
            late = [one for one in found if not one.ready]
            if ended == 0 and not late:
                return
            for one in late:
                if (ends := one.restarts - restarts.get(one.container, 0)) >= _RESTARTS:
                    raise _not_ready(one, f"it ended {ends} times")
            if deadline is None and any(one.container for one in found):
                deadline = time.monotonic() + timeout_s
            if late and deadline is not None and time.monotonic() > deadline:
                # What waits for another has no container yet.
                raise _not_ready(max(late, key=_severity), f"not within {timeout_s:g} s")
            time.sleep(_PAUSE_S)


def _failed(
    said: str,
    images: Mapping[str, str],
    found: list[ServiceStatus],
    ports: Mapping[str, str],
) -> StackError:
    if taken := _PORT_TAKEN.search(said):
        variables = [name for name in PORTS if ports[name] == taken[1]]
        choose = f", or choose another port: {variables[0]}=…" if variables else ""
        return StackError(
            f"Port {taken[1]} of this machine is taken. End what uses it (`ss -ltnp`){choose}."
        )
    for service, image in images.items():
        if not _has(image):
            return StackError(
                f"The image {image!r} of service {service!r} is not here, and could not be "
                f"fetched: {_last_lines(said, 3)}"
            )
    late = [one for one in found if not one.ready and one.container]
    if late and (one := max(late, key=_severity)).state != "created":
        return _not_ready(one, "Docker Compose gave up")
    return StackError(f"Docker Compose could not start the stack: {_last_lines(said, _LINES)}")


def _not_ready(one: ServiceStatus, why: str) -> StackError:
    said = f" Its health check says: {one.said}" if one.said else ""
    log = _log(one.container) if one.container else ""
    if log:
        said += f" The end of its log:\n{log}\n"
    return StackError(
        f"The service {one.name!r} is not ready, {why}: it is {one.state}.{said} "
        "What was started stays: see `lume-services docker status` and `logs`, and start again."
    )


def _severity(one: ServiceStatus) -> int:
    """How much a service that is not ready has to do with it, the more the later ones wait."""
    order = ("not started", "created", "starting", "running")
    return order.index(one.state) if one.state in order else len(order)


def _has(image: str) -> bool:
    return bool(docker("image", "inspect", "--format={{.Id}}", image, check=False).strip())


def _log(container: str) -> str:
    return _last_lines(docker("logs", f"--tail={_LINES}", container, errors_too=True), _LINES)


def _read(said: IO[str]) -> str:
    said.seek(0)
    return said.read()


def _last_lines(text: str, number: int) -> str:
    return "\n".join(text.strip().splitlines()[-number:])
