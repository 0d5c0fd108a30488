"""``lume-services results``, continued: copy, migrate and send results, and tidy up after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lume_services.cli._output import AsJson, counted, note, print_json, print_table
from lume_services.cli._stores import (
    From,
    To,
    check_different,
    opened,
    progress_bar,
    tell_of_waiting,
)
from lume_services.errors import InvalidInputError, ResultsDBError, ResultsDBUnavailableError

if TYPE_CHECKING:
    from lume_services.services.results.copying import Refused

__all__ = ["app"]

app = typer.Typer()

Project = Annotated[str | None, typer.Option(help="Results of this project alone.")]


@app.command(epilog="Example: `lume-services results gc --older-than 24`")
def gc(
    older_than: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="Spare blobs younger than this.")
    ] = 168.0,
) -> None:
    """Delete large values that no result refers to any more.

    A value is stored before the result that it belongs to, so young ones are spared: their result
    may be on its way, or wait on somebody's machine until the database is back.
    """
    from lume_services.config import configure, context

    configure()
    if tell_of_waiting():
        raise ResultsDBError(
            "Their large values may be among those to be deleted. Send them first."
        )
    count, size = context.results_db_service().collect_orphans(older_than_s=older_than * 3600)
    note(f"{counted(count, 'large value')} deleted, {size / 1e6:.1f} MB")


@app.command(epilog="Example: `lume-services results copy --to mongodb://db.lab/lume`")
def copy(
    source: From = None,
    target: To = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Copy results, and their large values, from one store to another, checking every hash.

    What is there already is left as it is: when a copy was interrupted, start it again. The exit
    code is 1 when something could not be copied or does not verify; everything else is copied.
    """
    from dataclasses import asdict

    from lume_services.results._verify import hash_problem
    from lume_services.services.results.copying import copy_results

    with opened(source, "--from") as old, opened(target, "--to") as new:
        check_different(old, new)
        projects = old.collections() if project is None else [project]
        with progress_bar(sum(map(old.count, projects))) as advance:
            copied = copy_results(
                old,
                new,
                projects,
                check=lambda document: hash_problem(document, old.get_blob),
                advance=advance,
            )
        if as_json:
            facts = {**asdict(copied), "refused": _as_dicts(copied.refused)}
            print_json({"from": old.address, "to": new.address, **facts})
        else:
            note(
                f"{counted(copied.copied, 'result')} copied to {new.address}, "
                f"{copied.already_there} there already; {counted(copied.blobs, 'large value')}, "
                f"{copied.blob_bytes / 1e6:.1f} MB"
            )
    _end_with(copied.refused, "Not copied", as_json)


@app.command(
    epilog="Example: `lume-services results migrate --from mongodb://host/results --to group.env`"
)
def migrate(
    source: From = None,
    target: To = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Bring results that LUME-services 0.x stored to this version, in another store.

    Their arrays are read without unpickling. Every result is read back and compared. The source
    is not changed; what is there already is left as it is, so it can be started again. The exit
    code is 1 when something could not be read; everything else is brought over.
    """
    from dataclasses import asdict

    from lume_services.results.legacy import migrate_results

    with opened(source, "--from") as old, opened(target, "--to") as new:
        check_different(old, new)
        projects = old.collections() if project is None else [project]
        with progress_bar(sum(map(old.count, projects))) as advance:
            migrated = migrate_results(old, new, projects, advance=advance)
        if as_json:
            facts = {**asdict(migrated), "refused": _as_dicts(migrated.refused)}
            print_json({"from": old.address, "to": new.address, **facts})
        else:
            note(
                f"{counted(migrated.migrated, 'result')} of 0.x brought to {new.address}, "
                f"{migrated.copied} of this version copied, {migrated.already_there} there already"
            )
    _end_with(migrated.refused, "Not brought over", as_json)


@app.command(epilog="Example: `lume-services results waiting`")
def waiting(as_json: AsJson = False) -> None:
    """List what waits in the outbox for a results database that is away, or was."""
    from lume_services.config import configure, context
    from lume_services.container import OUTBOX
    from lume_services.services.results.outbox import waiting

    configure()
    entries = waiting(context.settings.home / OUTBOX)
    if as_json:
        print_json([entry._asdict() for entry in entries])
    elif entries:
        print_table(("Results database", "Results", "Folder"), entries)
        note("To send what waits for the configured one: lume-services results flush")
    else:
        note("Nothing waits")


@app.command(epilog="Example: `lume-services results flush`")
def flush(
    waiting_for: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Send what waits for this store, which has moved, to the configured one.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send the results that were kept while the results database was away.

    The exit code is 1 when the database is still away, or does not take one of them; that one is
    kept.
    """
    from lume_services.config import configure, context
    from lume_services.container import OUTBOX
    from lume_services.services.results.outbox import Outbox, waiting

    configure()
    folder = context.settings.home / OUTBOX
    store = context.results_db_service().results_db
    if waiting_for not in (None, *(entry.address for entry in waiting(folder))):
        raise InvalidInputError(
            f"--waiting-for: nothing waits for {waiting_for!r}. "
            "`lume-services results waiting` lists what does."
        )
    here = {store.address, waiting_for}
    try:
        sent = Outbox(folder, waiting_for or store.address).send(store)
    except ResultsDBUnavailableError as error:
        wait = sum(entry.results for entry in waiting(folder) if entry.address in here)
        error.add_note(f"Nothing is lost: {counted(wait, 'result')} in {folder}.")
        raise
    elsewhere = [entry for entry in waiting(folder) if entry.address not in here]
    if as_json:
        print_json(
            {
                "to": store.address,
                "sent": sent.sent,
                "already_there": sent.already_there,
                "refused": _as_dicts(sent.refused),
                "waiting_elsewhere": [entry._asdict() for entry in elsewhere],
            }
        )
    else:
        there = f", {sent.already_there} were there already" if sent.already_there else ""
        if sent.sent or sent.already_there or sent.refused:
            note(f"{counted(sent.sent, 'result')} sent to {store.address}{there}")
        else:
            note(f"Nothing waits for {store.address}")
        for entry in elsewhere:
            note(f"{counted(entry.results, 'result')} for {entry.address} in {entry.folder}")
        if elsewhere:
            note(
                "Set LUME_RESULTS_DB__URL to an address above and flush again; if that store has "
                "moved here, use --waiting-for ADDRESS."
            )
    _end_with(sent.refused, "Not sent, and kept", as_json)


def _end_with(refused: list[Refused], what: str, as_json: bool) -> None:
    """Name what could not be stored, if anything; the exit code is 1 then."""
    if not refused:
        return
    if not as_json:
        print_table(("Project", "Result", "Why"), refused)
        note(f"{what}: {counted(len(refused), 'result')}")
    raise typer.Exit(1)


def _as_dicts(refused: list[Refused]) -> list[dict[str, str]]:
    return [entry._asdict() for entry in refused]
