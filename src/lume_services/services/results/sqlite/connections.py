"""Connections to one SQLite file: as many as are used at once, taken in turns by threads."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from lume_services.errors import ResultsDBError, ResultsDBUnavailableError
from lume_services.services._sqlite import BUSY_TIMEOUT_S, make_folder_of

__all__ = ["Connections"]


class Connections:
    """Opens connections when they are needed and keeps them for whoever asks next.

    Readers do not wait for a writer, nor it for them (write-ahead log), so a thread may write
    while it is in the middle of reading. After a fork the child opens its own.

    Args:
        path: The database's file; its folder is made.
        prepare: Called with each new connection.
    """

    _process: int
    _idle: list[sqlite3.Connection]
    _write_lock: Lock
    _inode: int

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self.path = path
        self._prepare = prepare
        self._start()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own, for a while.

        Raises:
            ResultsDBError: The database failed.
        """
        self._start_anew_after_fork()
        idle, process = self._idle, self._process
        with self._errors():
            try:
                connection = idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                self._give_back(connection, idle, process)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection with a transaction, durable in the end or undone by an error.

        Raises:
            ResultsDBUnavailableError: The disk is full or failed, or others kept the database
                locked for too long.
            ResultsDBError: The database failed in another way.
        """
        self._start_anew_after_fork()
        # Threads wait here rather than poll the file's lock, as other processes have to.
        with self._write_lock, self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._check_that_it_is_there()

    def close(self) -> None:
        """Close those that nobody uses; the others are closed when they are given back."""
        self._start_anew_after_fork()
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _start(self) -> None:
        self._idle = []
        self._write_lock = Lock()
        self._process = os.getpid()  # last, or another thread would take what was the parent's

    def _start_anew_after_fork(self) -> None:
        if os.getpid() != self._process:
            _INHERITED.append(self._idle)
            self._start()

    def _give_back(
        self, connection: sqlite3.Connection, idle: list[sqlite3.Connection], process: int
    ) -> None:
        if os.getpid() != process:
            _INHERITED.append([connection])
        elif idle is self._idle and not connection.in_transaction:
            idle.append(connection)
        else:  # close() was called meanwhile, or a transaction could not be undone
            connection.close()

    def _check_that_it_is_there(self) -> None:
        """What is written to a file that somebody deleted is gone with the last connection to it.

        Raises:
            ResultsDBError: The file was deleted, or another one put in its place.
        """
        try:
            there = self.path.stat().st_ino
        except FileNotFoundError:
            there = None
        if there != self._inode:
            self._idle = []
            raise ResultsDBError(
                f"The results database {self.path} was deleted or replaced while it was in use: "
                "what was stored in it is lost. What is stored from now on goes to a new one."
            )

    def _connect(self) -> sqlite3.Connection:
        make_folder_of(self.path, "the results database", "LUME_HOME or LUME_RESULTS_DB__URL")
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            self._prepare(connection)
            self._inode = self.path.stat().st_ino
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            remedy = next((text for code, text in _REMEDIES.items() if name.startswith(code)), "")
            kind = ResultsDBUnavailableError if name.startswith(_PASSING) else ResultsDBError
            raise kind(
                f"The results database {self.path} failed: {error}. {remedy}".rstrip()
            ) from error
        except UnicodeEncodeError as error:
            raise ResultsDBError(
                f"{error.object!r:.80} is not text: it holds half of a surrogate pair."
            ) from error


_INHERITED: list[list[sqlite3.Connection]] = []
"""What a parent process opened. SQLite forbids its child to use that, even to close it:
https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_."""

_PASSING = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR")
"""What may be over later, without anybody changing the configuration."""

_REMEDIES = {
    "SQLITE_FULL": "The disk is full: free some space and try again; nothing was stored.",
    "SQLITE_BUSY": f"Another process has been writing for {BUSY_TIMEOUT_S:g} s: try again when it "
    "is done.",
    "SQLITE_NOTADB": "The file is not an SQLite database: move it away, or set LUME_HOME or "
    "LUME_RESULTS_DB__URL to another place.",
    "SQLITE_CORRUPT": "The file is damaged: restore it from a backup, or save what can be read "
    "with `sqlite3 FILE .recover`.",
    "SQLITE_READONLY": "It cannot be written: check the permissions of the file and its folder.",
    "SQLITE_CANTOPEN": "Check that its folder exists and may be written to.",
    "SQLITE_PERM": "Check the permissions of the file and its folder.",
    "SQLITE_IOERR": "The disk refused: check its free space, its quota and its health.",
}
