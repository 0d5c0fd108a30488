"""Where a result comes from: machine, user, time, and every package that was installed."""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, PrivateAttr

from lume_services.errors import BlobNotFoundError
from lume_services.results._fields import Identifier, Milliseconds, now
from lume_services.serialization import GetBlob, PutBlob, decode, hash_only

__all__ = ["Provenance", "describe_error"]

# https://packaging.python.org/en/latest/specifications/recording-installed-packages/
_INSTALLED = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(-py[\d.]+)?\.(dist|egg)-info")


class Provenance(BaseModel):
    """Enough to say where and when a result was computed, and with what.

    It is never part of a result's ``unique_hash``: the same computation on another machine is the
    same result.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: Identifier
    """Name of the machine."""
    user: Identifier
    """Who ran it."""
    started: Milliseconds
    """When the model started, UTC."""
    duration_s: float | None = None
    """How long it ran, in seconds."""
    python: Identifier
    """Version of Python."""
    packages: Identifier
    """The sha256 of :meth:`package_list`, one ``name==version`` a line: equal for two results that
    were computed with the same packages."""

    _load: Callable[[], bytes] | None = PrivateAttr(None)

    @classmethod
    def collect(
        cls,
        started: datetime | None = None,
        duration_s: float | None = None,
        *,
        python: str | None = None,
        packages: Sequence[str] | None = None,
    ) -> Provenance:
        """The provenance of what this process computes, or another on this machine.

        Args:
            started: When it started; now when not given.
            duration_s: How long it ran, in seconds.
            python: Version of the Python that computed it; this process's when not given.
            packages: What was installed there, ``name==version``; likewise.
        """
        facts = _process()
        if python is not None:
            facts = {**facts, "python": python}
        if packages is None:
            return cls(started=started or now(), duration_s=duration_s, **facts)
        listed = "\n".join(sorted(packages)).encode()
        facts = {**facts, "packages": hash_only(listed)}
        provenance = cls(started=started or now(), duration_s=duration_s, **facts)
        provenance._load = lambda: listed
        return provenance

    @classmethod
    def from_document(cls, document: Mapping[str, Any], get_blob: GetBlob | None) -> Provenance:
        """The provenance in a stored result.

        Raises:
            pydantic.ValidationError: It is not one.
        """
        provenance = cls.model_validate(document)
        if get_blob is not None and "package_list" in document:
            reference = document["package_list"]
            provenance._load = lambda: bytes(decode(reference, get_blob))
        return provenance

    def to_document(self, put_blob: PutBlob) -> dict[str, Any]:
        """What is stored: the fields, and the package list as a blob."""
        document = dict(self)
        with suppress(BlobNotFoundError):
            packages = self._package_list()
            # With every result, however often: it may have been collected since the last one.
            document["package_list"] = {"%blob": put_blob(packages), "size": len(packages)}
        return document

    def package_list(self) -> list[str]:
        """Every package that was installed, as ``name==version``, sorted.

        Raises:
            BlobNotFoundError: The list was not stored with the result.
        """
        return self._package_list().decode().splitlines()

    def _package_list(self) -> bytes:
        if self.packages == _process()["packages"]:
            return _installed_packages()
        if self._load is None:
            raise BlobNotFoundError(f"The package list {self.packages} was not stored.")
        return self._load()

    # Where its package list can be read is no part of it.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Provenance) and dict(self) == dict(other)

    def __hash__(self) -> int:
        return hash((self.host, self.started))

    def __getstate__(self) -> dict[Any, Any]:
        # A store does not go to another process.
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {"_load": None}}


def describe_error(error: BaseException) -> dict[str, str]:
    """An exception as it is recorded in a failed result: ``type``, ``message``, ``traceback``."""
    try:
        message = str(error)
    except Exception:  # A broken __str__ must not hide that the model failed.
        message = f"(a {type(error).__name__} that cannot be shown)"
    described = {
        "type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        "message": message,
        "traceback": "".join(traceback.format_exception(error)),
    }
    # Messages quote file names and data, which may not be valid Unicode.
    return {name: text.encode(errors="replace").decode() for name, text in described.items()}


@cache
def _process() -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # A container's user may have no name.
        user = str(os.getuid())
    return {
        "host": platform.node(),
        "user": user,
        "python": platform.python_version(),
        "packages": hash_only(_installed_packages()),
    }


@cache
def _installed_packages() -> bytes:
    """One ``name==version`` a line, sorted.

    Read off the names of the metadata folders, as reading the metadata themselves, with
    ``importlib.metadata``, takes a hundred times as long.
    """
    versions: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = sorted(path.name for path in Path(folder or ".").iterdir())
        except OSError:
            continue
        for match in filter(None, map(_INSTALLED.fullmatch, names)):
            versions.setdefault(canonicalize_name(match["name"]), match["version"])
    return "\n".join(sorted(f"{name}=={version}" for name, version in versions.items())).encode()
