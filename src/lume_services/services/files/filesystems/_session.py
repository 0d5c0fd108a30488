"""The connection of a process to a file server: made late, lost and made anew; and its errors."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from lume_services.errors import (
    ConfigurationError,
    FilesystemError,
    FilesystemUnavailableError,
    LUMEServicesError,
    MissingDependencyError,
    MissingFileError,
)
from lume_services.services._retry import retried

if TYPE_CHECKING:
    from lume_services.services.files.filesystems._connection import Connection

__all__ = ["CREDENTIAL", "Session"]

T = TypeVar("T")

CREDENTIAL = re.compile("account|connection_string|credential|key|name|pass|secret|token|user")
"""Found in the names of options that say who is asking, or prove it."""

_EXTRAS = {"sftp": "sftp", "ssh": "sftp", "s3": "s3", "s3a": "s3"}


class Session:
    """Does things on a server, again if need be.

    Threads share one connection. After a fork the child makes its own.
    """

    def __init__(
        self,
        identifier: str,
        url: str,
        options: Mapping[str, Any],
        *,
        timeout_s: float,
        retry_s: float,
    ) -> None:
        """Nothing is connected yet. The arguments are those of ``RemoteFilesystem``."""
        self.variable = f"LUME_FILESYSTEMS__{identifier.upper()}"
        self._what = f"filesystem {identifier!r} ({url})"
        self._url = url
        self._options = dict(options)
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._reached = False
        self._connection: Connection | None = None
        self._connecting = threading.Lock()
        self._in_vain: FilesystemUnavailableError | None = None
        self._inherited: list[Connection] = []
        _SESSIONS.add(self)

    def do(self, verb: str, path: str, action: Callable[[Connection], T]) -> T:
        """Do something on the server; what fails for a passing reason is done again.

        Args:
            verb: What is done, for messages: "Cannot … path".
            path: The path, for messages.
            action: What to do; it may be done twice.

        Raises:
            FilesystemUnavailableError: The server does not answer.
            MissingFileError: There is no such file.
            FilesystemError: It was refused.
            ConfigurationError: The settings are wrong, or a package is missing.
        """
        try:
            return retried(
                lambda: self._attempt(action),
                self._is_passing,
                what=self._url,
                within_s=self._retry_s if self._reached else 0,
            )
        except LUMEServicesError:
            raise
        except Exception as error:  # every driver has errors of its own
            failure = self._failure(f"Cannot {verb} {path!r} on", error)
            cause = self._showable(error)
        raise failure from cause

    def _attempt(self, action: Callable[[Connection], T]) -> T:
        server = self._connected()
        try:
            with server.turn():
                result = action(server)
        except Exception as error:
            if not server.is_passing(error):
                self._reached = True
            elif self._connection is server:
                self._connection = None
            raise
        self._reached = True
        return result

    def _connected(self) -> Connection:
        before = self._in_vain
        with self._connecting:
            if self._connection is not None:
                return self._connection
            if self._in_vain is not None and self._in_vain is not before:
                # While this thread waited another one tried; all in turn would take too long.
                raise FilesystemUnavailableError(str(self._in_vain))
            try:
                self._connection = self._connect()
            except FilesystemUnavailableError as error:
                self._in_vain = FilesystemUnavailableError(str(error))  # without a traceback
                raise
            return self._connection

    def _connect(self) -> Connection:
        try:
            return self._kind()(
                self._url, self._options, timeout_s=self._timeout_s, patience_s=self._retry_s / 2
            )
        except LUMEServicesError:
            raise
        except ImportError as error:
            raise self._missing_package(error) from error
        except Exception as error:  # every driver has errors of its own
            failure = self._failure("Cannot connect to", error, connecting=True)
            cause = self._showable(error)
        raise failure from cause

    def _kind(self) -> type[Connection]:
        try:
            from lume_services.services.files.filesystems._connection import connection_class

            return connection_class(self._scheme)
        except ImportError as error:
            raise self._missing_package(error) from error

    @property
    def _scheme(self) -> str:
        return self._url.partition("://")[0].lower()

    def _missing_package(self, error: ImportError) -> MissingDependencyError:
        extra = _EXTRAS.get(self._scheme)
        if extra:
            remedy = f"needs the package {error.name!r}: pip install 'lume-services[{extra}]'"
        else:
            remedy = f"needs a package that is not installed: {error}"
        return MissingDependencyError(f"{self.variable}__URL={self._url!r} {remedy}")

    def _is_passing(self, error: BaseException) -> bool:
        if isinstance(error, LUMEServicesError):
            return isinstance(error, FilesystemUnavailableError)
        return self._kind().is_passing(error)

    def _failure(
        self, what: str, error: Exception, *, connecting: bool = False
    ) -> FilesystemError | ConfigurationError:
        """Say what failed, why, and what to look at."""
        kind = self._kind()
        reason = self._reason(error)
        advice = kind.advice(error, self.variable)
        settings = advice or f"Check {self.variable}__URL and {self.variable}__OPTIONS__…"
        what = f"{what} {self._what}: "
        if kind.is_passing(error):
            tried = f" It was tried again for {self._retry_s:g} s." if self._reached else ""
            return FilesystemUnavailableError(
                f"{what}the server does not answer: {reason}.{tried} {settings}"
            )
        if connecting or kind.is_misconfigured(error):
            return ConfigurationError(f"{what}{reason}. {settings}")
        if isinstance(error, FileNotFoundError):
            reason = error.strerror or "there is no such file or folder"
            return MissingFileError(f"{what}{reason}.")
        return FilesystemError(f"{what}{reason}. {advice}".rstrip())

    def _reason(self, error: BaseException) -> str:
        """What an error says, without the secrets that a driver may have put into it."""
        text = (getattr(error, "strerror", None) or str(error)).strip().rstrip(".")
        if isinstance(error, TimeoutError) and not text:
            text = "no answer " + ("in time" if self._reached else f"within {self._timeout_s:g} s")
        for secret in _secrets(self._options):
            text = text.replace(secret, "********")
        return text or type(error).__name__

    def _showable(self, error: BaseException) -> BaseException | None:
        """The error as the cause of ours, unless its traceback would show a secret."""
        one: BaseException | None = error
        while one is not None:
            if any(secret in str(one) for secret in _secrets(self._options)):
                return None
            one = one.__cause__ or one.__context__
        return error

    def forget(self) -> None:
        """Leave the connection to the parent process; it is kept, so that nothing closes it."""
        if self._connection is not None:
            self._inherited.append(self._connection)
        self._connection = None
        self._connecting = threading.Lock()


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    """What is named like a credential, also in an option that has parts."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and CREDENTIAL.search(name.lower()) and len(value) > 3:
            yield value


_SESSIONS: WeakSet[Session] = WeakSet()


def _forget_connections() -> None:
    for session in list(_SESSIONS):
        session.forget()


os.register_at_fork(after_in_child=_forget_connections)
