"""From a package to a version of a model in the registry."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lume_services.environment.environments import Environment, Environments
from lume_services.environment.inspection import inspect_package
from lume_services.environment.lock import Lock
from lume_services.environment.package import Package
from lume_services.environment.process import ModelProcess
from lume_services.environment.services_wheel import requirements_of_flows
from lume_services.environment.source import fetched
from lume_services.errors import (
    DeploymentNotFoundError,
    MissingDependencyError,
    ModelDBError,
    PackageError,
)
from lume_services.models._deployed import FLOW_NAME, PACKAGE
from lume_services.models._packaged import environments
from lume_services.models._packaged_flow import flow_of

if TYPE_CHECKING:
    from lume_services.services.models import ModelDBService
    from lume_services.services.models.db.schema import Deployment

__all__ = ["PREFECT1", "inspect_source", "store_package"]

_IN_JSON: Final = (bool, int, float, str, list)
PREFECT1: Final = (
    "it is written for Prefect 1, which runs no more. `run` evaluates the model and records the "
    "result; how to bring the flow over is in docs/migrating.md#flows"
)


def inspect_source(source: str) -> Package:
    """Read what is in a package, wherever it is; none of its code is run.

    Raises:
        PackageError: It is refused, or cannot be had.
    """
    store = environments()
    with store.scratch() as scratch:
        return inspect_package(_fetched(source, store, scratch), tmp=scratch)


def store_package(
    registry: ModelDBService,
    model_id: int,
    source: str,
    *,
    project_name: str,
    is_live: bool,
    tell: Callable[[str], object],
) -> int:
    """What ``Model.store_deployment`` does.

    Returns:
        The ``deployment_id``.
    """
    store = environments()
    store.sweep()
    with store.scratch() as scratch:
        tell(f"Reading {source}")
        archive = _fetched(source, store, scratch)
        package = inspect_package(archive, tmp=scratch)
        if package.flow is not None and find_spec("prefect") is None:
            raise MissingDependencyError(
                f"{package.name} has a flow, which needs Prefect: pip install "
                "'lume-services[packages]'"
            )
        if package.prefect1_flow:
            tell(f"The flow of {package.name} is left out: {PREFECT1}")
        known = _known(registry, model_id, package)
        if known is not None and known.environment is not None:
            lock = Lock.from_document(known.environment)
        else:
            tell(f"Finding what {package.name} {package.version} needs")
            extra = requirements_of_flows() if package.flow else []
            lock = store.lock(package, archive, extra)
        was_there = store.has(lock, package.sha256)
        tell(f"{_what_is_done(store, lock, package)} {store.folder / lock.digest}")
        name = f"{package.name}-{package.version}"
        environment = store.ensure(lock, name, package.sha256, lambda _: archive)
        try:
            _check_name(package, environment)
            tell(f"Loading {package.model or package.flow}")
            variables, flows = _described(package, environment)
            return registry.store_deployment(
                model_id=model_id,
                version=package.version,
                source=_address(source),
                image=package.image,
                package_import_name=package.import_name,
                kind=PACKAGE,
                entry_point=package.model,
                variables=variables,
                environment=lock.to_document(),
                archive=archive,
                project_name=project_name,
                flows=flows,
                is_live=is_live,
            )
        except BaseException:
            environment.let_go()
            if not was_there:
                store.remove(lock, package.sha256)
            raise


def _what_is_done(store: Environments, lock: Lock, package: Package) -> str:
    if store.has(lock, package.sha256):
        return "Found"
    if store.has(lock):
        return "Adding it to the environment that has what it needs:"
    count = len(lock.packages)
    needed = {0: "no other package", 1: "1 other package"}.get(count, f"{count} other packages")
    return f"Making an environment with {needed}:"


def _fetched(source: str, store: Environments, scratch: Path) -> Path:
    (folder := scratch / "archive").mkdir()
    return fetched(source, folder, token=store.config.token, isolated=store.isolated)


def _known(registry: ModelDBService, model_id: int, package: Package) -> Deployment | None:
    """The deployment of this version, where it is the same; before anything is installed."""
    with suppress(DeploymentNotFoundError):
        known = registry.get_deployment(model_id=model_id, version=package.version)
        if known.sha256 == package.sha256:
            return known
        raise ModelDBError(
            f"Version {package.version} of model {model_id} is stored with another sha256 "
            f"({known.sha256}, now {package.sha256}). What was stored is kept as it is: give the "
            "package a new version."
        )
    return None


def _check_name(package: Package, environment: Environment) -> None:
    """Refuse a name that another module has, which the package would hide from what needs it."""
    name = package.import_name
    if name in sys.stdlib_module_names:
        raise PackageError(
            f"The import name {name!r} of {package.name} {package.version} is also that of a "
            "module of Python's own: rename the package."
        )
    own = _modules(environment.package)
    for folder in environment.folder.glob("lib/python*/site-packages"):
        for name in sorted(own & _modules(folder)):
            raise PackageError(
                f"{package.name} {package.version} brings a module {name!r}, and so does what it "
                f"needs ({folder / name}): rename it."
            )


def _modules(folder: Path) -> set[str]:
    """Names that can be imported from a folder; parts of a package that several share are none."""
    files = {path.name.partition(".")[0] for path in folder.glob("*.*") if path.is_file()}
    return files | {path.parent.name for path in folder.glob("*/__init__.py")}


def _described(
    package: Package, environment: Environment
) -> tuple[dict[str, Any] | None, dict[str, str | None]]:
    """What the registry is told of the model and the flows, which are loaded for it."""
    variables: dict[str, Any] | None = None
    flows: dict[str, str | None] = {}
    if package.model is not None:
        process = ModelProcess(environment, package.model)
        try:
            found = process.describe()
        finally:
            process.close()
        variables = found.variables
        for name, value in found.held.items():
            value = value.tolist() if hasattr(value, "tolist") else value
            if variables[name].get("default_value") is None and isinstance(value, _IN_JSON):
                variables[name]["default_value"] = value
        flows[FLOW_NAME] = None
    if package.flow is not None:
        name, entry_point = flow_of(package.flow, environment)
        flows[name] = entry_point
    return variables, flows


def _address(source: str) -> str:
    return source if "://" in source else str(Path(source).absolute())
