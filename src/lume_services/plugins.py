"""Implementations by name: a table of our own, entry points of others, nothing imported early.

Every kind of thing that settings select by name (a scheduling backend, a results store, a
filesystem) is one *group*. This module is the only one that names implementations, and it does
so by string. Another package adds its own with an entry point in the group of the same name::

    [project.entry-points."lume_services.backends"]
    my-lab = "my_lab.lume:MyLabBackend"

Classes that documents and records name, kinds of result and file types, are *announced* in the same
way: what is stored does not decide what a process imports, what is installed does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lume_services.errors import (
    MissingDependencyError,
    SerializationError,
    UnknownPluginError,
)

__all__ = [
    "BACKENDS",
    "FILESYSTEMS",
    "FILE_TYPES",
    "RESULTS_DBS",
    "RESULT_TYPES",
    "VALUES",
    "WORKERS",
    "check",
    "load",
    "load_announced",
    "names",
]

BACKENDS = "lume_services.backends"
WORKERS = "lume_services.workers"
RESULTS_DBS = "lume_services.results_dbs"
FILESYSTEMS = "lume_services.filesystems"
VALUES = "lume_services.values"
RESULT_TYPES = "lume_services.results"
FILE_TYPES = "lume_services.files"


@dataclass(frozen=True)
class _Plugin:
    target: str
    """``module:attribute``"""
    extra: str | None = None
    """The optional dependency group that it needs, ``pip install 'lume-services[extra]'``."""


_REMOTE = "lume_services.services.files.filesystems.remote:RemoteFilesystem"

_TABLE: dict[str, dict[str, _Plugin]] = {
    BACKENDS: {
        "local": _Plugin("lume_services.services.scheduling.backends.local:LocalBackend"),
        "process": _Plugin(
            "lume_services.services.scheduling.backends.process:ProcessBackend", extra="prefect"
        ),
        "docker": _Plugin(
            "lume_services.services.scheduling.backends.docker:DockerBackend", extra="docker"
        ),
        "kubernetes": _Plugin(
            "lume_services.services.scheduling.backends.kubernetes:KubernetesBackend",
            extra="kubernetes",
        ),
    },
    WORKERS: {
        "process": _Plugin("lume_services.workers.process:LUMEProcessWorker", extra="prefect"),
        "docker": _Plugin("lume_services.workers.docker:LUMEDockerWorker", extra="docker"),
        "kubernetes": _Plugin(
            "lume_services.workers.kubernetes:LUMEKubernetesWorker", extra="kubernetes"
        ),
    },
    RESULTS_DBS: {
        "sqlite": _Plugin("lume_services.services.results.sqlite:SQLiteResultsDB"),
        "mongodb": _Plugin(
            "lume_services.services.results.mongodb:MongodbResultsDB", extra="mongodb"
        ),
    },
    FILESYSTEMS: {
        "file": _Plugin("lume_services.services.files.filesystems.local:LocalFilesystem"),
        "s3": _Plugin(_REMOTE),
        "sftp": _Plugin(_REMOTE),
    },
    # Kinds of stored value whose type lives in a module that serialization may not import.
    VALUES: {
        "file": _Plugin("lume_services.files:FILE_CODEC"),
        "result": _Plugin("lume_services.results:RESULT_CODEC"),
    },
    # Classes that documents name and that importing their package does not make known.
    RESULT_TYPES: {
        "impact": _Plugin("lume_services.results:ImpactResult"),
    },
}


def names(group: str) -> list[str]:
    """Names known in a group, those of other packages included, sorted."""
    return sorted({*_TABLE.get(group, {}), *(point.name for point in entry_points(group=group))})


def check(group: str, name: str, *, variable: str) -> None:
    """Refuse a name that nothing implements, without importing what does.

    Args:
        group: One of the groups of this module.
        name: The name that was asked for.
        variable: The setting that asked for it, for the message.

    Raises:
        UnknownPluginError: Nothing of that name is known; the message lists what is.
    """
    if name not in _TABLE.get(group, {}) and name not in names(group):
        if group == FILESYSTEMS and _known_to_fsspec(name):
            return
        others = ", and the protocols of fsspec" if group == FILESYSTEMS else ""
        raise UnknownPluginError(
            f"{variable}={name!r} is not available here. Available: "
            f"{', '.join(names(group))}{others}."
        )


def load(group: str, name: str, *, variable: str) -> Any:
    """Import an implementation.

    Args:
        group: One of the groups of this module.
        name: The name that was asked for.
        variable: The setting that asked for it, for messages.

    Raises:
        UnknownPluginError: Nothing of that name is known; the message lists what is.
        MissingDependencyError: It is known, and a package it needs is not installed.
    """
    check(group, name, variable=variable)
    plugin = _TABLE.get(group, {}).get(name)
    try:
        if plugin is None and name in names(group):
            return next(iter(entry_points(group=group, name=name))).load()
        if plugin is None:
            plugin = _Plugin(_REMOTE)
        module, _, attribute = plugin.target.partition(":")
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        extra = plugin.extra if plugin else None
        hint = f"'lume-services[{extra}]'" if extra else str(error.name)
        raise MissingDependencyError(
            f"{variable}={name!r} needs the package {error.name!r}: pip install {hint}"
        ) from error


def _known_to_fsspec(protocol: str) -> bool:
    """Whether fsspec, or a package that registers with it, has a filesystem for a protocol."""
    from fsspec import available_protocols

    return protocol in available_protocols()


def load_announced(group: str, class_string: str) -> None:
    """Import what is announced of the package that a stored class name belongs to.

    Only what entry points name is imported, never what the stored name says.

    Args:
        group: ``RESULT_TYPES`` or ``FILE_TYPES``.
        class_string: ``module:Class``, as a document or record holds it.

    Raises:
        SerializationError: Something announced cannot be imported.
    """
    ours = [EntryPoint(name, one.target, group) for name, one in _TABLE.get(group, {}).items()]
    for point in (*ours, *entry_points(group=group)):
        if _package(point.value) == _package(class_string):
            try:
                point.load()
            except Exception as error:  # A module may raise anything while it is imported.
                raise SerializationError(
                    f"The entry point {point.name!r} of group {group!r}, {point.value}, cannot be "
                    f"loaded: {type(error).__name__}: {error}."
                ) from error


def _package(target: str) -> str:
    return target.partition(":")[0].partition(".")[0].strip()
