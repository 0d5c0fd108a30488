"""Results stores that a command line names, and what moving between them shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lume_services.cli._output import counted, note
from lume_services.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from lume_services.services.results import ResultsDB
    from lume_services.settings import LUMEServicesSettings

__all__ = ["From", "To", "check_different", "opened", "progress_bar", "tell_of_waiting"]

_HELP = (
    "`sqlite:///path`, `mongodb://host/database`, or a file of `LUME_RESULTS_DB__…` variables, "
    "which may hold a password; the configured store when not given."
)
From = Annotated[str | None, typer.Option("--from", metavar="URL|FILE", help=_HELP)]
To = Annotated[str | None, typer.Option("--to", metavar="URL|FILE", help=_HELP)]
_READ = ("LUME_HOME", "LUME_RESULTS_DB__")


@contextmanager
def opened(place: str | None, option: str) -> Iterator[ResultsDB]:
    """The store that a URL or a file of variables names; closed in the end.

    Args:
        place: The URL or file; None for the store that is configured.
        option: The option that it is given with, for messages.

    Raises:
        InvalidInputError: The URL holds a password, or there is no such file.
        ConfigurationError: A store cannot be made of it.
    """
    from lume_services.container import results_db_of

    settings = _settings(place, option)
    if option == "--from":
        _check_there(settings)
    store = results_db_of(settings)
    try:
        yield store
    finally:
        store.close()


def check_different(source: ResultsDB, target: ResultsDB) -> None:
    """Refuse to move results from a store to itself.

    Raises:
        InvalidInputError: They are the same.
    """
    if source.address == target.address:
        raise InvalidInputError(
            f"--from and --to are the same, {source.address}: give the one that is not configured."
        )


def tell_of_waiting() -> bool:
    """Say how many results wait for the configured store, which nobody finds there, if any do."""
    from lume_services.config import context
    from lume_services.container import OUTBOX
    from lume_services.services.results.outbox import waiting

    address = context.results_db_service().results_db.address
    for entry in waiting(context.settings.home / OUTBOX):
        if entry.address == address:
            wait = f"{counted(entry.results, 'result')} {'waits' if entry.results == 1 else 'wait'}"
            note(f"{wait} in the outbox. To send: lume-services results flush")
            return True
    return False


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], object]]:
    """Show, on a terminal, how many results have been dealt with, and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("Results", BarColumn(), MofNCompleteColumn(), "left", TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda results: progress.advance(task, results)


def _check_there(settings: LUMEServicesSettings) -> None:
    """Refuse a mistyped path, where SQLite would make a file and nothing be copied from it."""
    if settings.results_store == "sqlite" and settings.results_db is not None:
        path = Path(str(settings.results_db.url).partition(":///")[2]).expanduser()
        if not path.exists():
            raise InvalidInputError(f"--from: there is no file {path}")


def _settings(place: str | None, option: str) -> LUMEServicesSettings:
    from lume_services.settings import LUMEServicesSettings

    class OnlyThese(LUMEServicesSettings):
        """What is given, and nothing of the environment: those variables mean another store."""

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: Any, init_settings: Any, *_: Any, **__: Any
        ) -> Any:
            return (init_settings,)

    settings = LUMEServicesSettings()
    if place is None:
        return settings
    values = {"results_db": {"url": place}} if "://" in place else _from_file(place, option)
    try:
        given = OnlyThese(**{"home": settings.home, **values})
    except ConfigurationError as error:
        raise ConfigurationError(f"{option}: {error}") from None
    if "://" in place and given.results_db is not None and given.results_db.password is not None:
        raise InvalidInputError(
            f"{option} holds a password, which `ps` shows to everybody on this machine. Write it "
            "to a file that only you can read, as LUME_RESULTS_DB__URL and "
            f"LUME_RESULTS_DB__PASSWORD, and give {option} the file; or configure that store by "
            f"these variables and leave {option} out."
        )
    return given


def _from_file(place: str, option: str) -> dict[str, Any]:
    from dotenv import dotenv_values

    path = Path(place).expanduser()
    try:
        with path.open(encoding="utf-8") as stream:
            variables = dotenv_values(stream=stream)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InvalidInputError(
            f"{option} {place!r} is no URL, and as a file it cannot be read: {reason}"
        ) from None
    values: dict[str, Any] = {}
    for name, text in variables.items():
        if text and name.upper().startswith(_READ):
            *folders, leaf = name.lower().removeprefix("lume_").split("__")
            inner = values
            for folder in folders:
                inner = inner.setdefault(folder, {})
            inner[leaf] = text
    if not values:
        raise InvalidInputError(f"{option} {place!r}: the file sets no LUME_RESULTS_DB__ variable")
    return values
