"""Evaluating a packaged model in its environment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, cached_property
from hashlib import file_digest
from importlib.metadata import distributions
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lume_services.context import context
from lume_services.environment.environments import Environment, Environments
from lume_services.environment.lock import Lock
from lume_services.environment.process import ModelProcess
from lume_services.environment.services_wheel import requirements_of_flows
from lume_services.errors import DeploymentNotFoundError, ModelFailedError, ModelLoadError
from lume_services.models.evaluation import Outcome
from lume_services.results import Provenance
from lume_services.services.scheduling.outcomes import RemoteFailure
from lume_services.settings import EnvironmentConfig
from lume_services.variables import checked_inputs, default_values

if TYPE_CHECKING:
    from lume_services.services.models.db.schema import Deployment

__all__ = [
    "PackagedEvaluator",
    "check_needs_of_flows",
    "environment_folder",
    "environment_of",
    "environments",
    "is_installed_here",
    "prune_environments",
]


class PackagedEvaluator:
    """Evaluates a packaged model: what ``Evaluator`` does, in another process.

    Args:
        deployment: Its deployment.
        load_package: Puts the archive of that sha256 into a folder.
    """

    def __init__(self, deployment: Deployment, load_package: Callable[[str, Path], Path]) -> None:
        if deployment.entry_point is None:
            raise ModelLoadError(
                f"{deployment.model.description!r} {deployment.version} is a package with a flow "
                "and no model: run it."
            )
        self._deployment = deployment
        self._load_package = load_package
        self.variables = {
            name: _variable(name, schema) for name, schema in (deployment.variables or {}).items()
        }

        # With other settings it may be another environment.
        context.close_at_end(self)

    @cached_property
    def process(self) -> ModelProcess:
        """Where it is evaluated.

        Raises:
            EnvironmentBuildError: Its environment could not be made.
            PackageError: The registry does not have the package.
        """
        return self._new_process()

    def check(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Check inputs and fill in defaults: see ``Evaluator.check``."""
        if not self.variables:
            return dict(inputs)
        return checked_inputs(inputs, self.variables, default_values(self.variables))

    def outcome(self, inputs: Mapping[str, Any]) -> Outcome:
        """Evaluate at inputs that ``check`` has returned; an exception is part of the outcome.

        Raises:
            PackageError: The model cannot be loaded.
        """
        self.process.describe()
        return _outcome(self.process, inputs)

    @contextmanager
    def processes(self, count: int) -> Iterator[Callable[[Mapping[str, Any]], Outcome]]:
        """So many processes; what is yielded evaluates in one that is idle, and waits for it.

        Raises:
            PackageError: The model cannot be loaded.
        """
        self.process.describe()
        others = [self._new_process() for _ in range(count - 1)]
        idle: SimpleQueue[ModelProcess] = SimpleQueue()
        for process in (self.process, *others):
            idle.put(process)

        def outcome(inputs: Mapping[str, Any]) -> Outcome:
            process = idle.get()
            try:
                return _outcome(process, inputs)
            finally:
                idle.put(process)

        try:
            yield outcome
        except BaseException:  # whatever they are doing, it is for nobody
            self.process.close()
            raise
        finally:
            for process in others:
                process.close()

    def provenance(self, outcome: Outcome) -> Provenance:
        """Where and when an outcome came about, and with what."""
        found = self.process.describe()
        return Provenance.collect(
            outcome.started, outcome.duration_s, python=found.python, packages=found.packages
        )

    def close(self) -> None:
        """End its process; the next evaluation starts one by the settings of then."""
        if "process" in self.__dict__:
            self.process.close()
            del self.process

    def _new_process(self) -> ModelProcess:
        environment = environment_of(self._deployment, self._load_package)
        return ModelProcess(environment, str(self._deployment.entry_point))


def _outcome(process: ModelProcess, inputs: Mapping[str, Any]) -> Outcome:
    """What comes of a point in a process; a process that dies is part of it."""
    started, clock = datetime.now(UTC), time.perf_counter()
    try:
        found = process.evaluate(inputs)
    except Exception as error:  # it died, or a value cannot be sent
        return Outcome(started, time.perf_counter() - clock, {}).failed(error)
    exception = None
    if found.error is not None:
        failure = RemoteFailure(
            found.error["type"], found.error["message"], found.error["traceback"]
        )
        exception = failure.exception(ModelFailedError)
    return Outcome(found.started, found.duration_s, found.outputs, found.error, exception)


def environments() -> Environments:
    """The environments of ``LUME_HOME``."""
    settings = context.settings
    isolated = settings.prefect is not None and settings.prefect.isolated
    return Environments(
        settings.home / "environments",
        settings.environment or EnvironmentConfig(),
        isolated=isolated,
    )


def environment_of(
    deployment: Deployment, load_package: Callable[[str, Path], Path]
) -> Environment:
    """The environment of a deployment, made where it is missing.

    Raises:
        ModelLoadError: The deployment says nothing of one; it is of LUME-services 0.x.
        EnvironmentBuildError: It could not be made.
        PackageError: The registry does not have the package.
    """
    if deployment.environment is None or deployment.sha256 is None:
        raise ModelLoadError(
            f"Version {deployment.version} of {deployment.model.description!r} was deployed by "
            "LUME-services 0.x, which kept no record of its environment. Deploy it again: "
            "lume-services deployments store"
        )
    digest = deployment.sha256
    return environments().ensure(
        Lock.from_document(deployment.environment),
        f"{deployment.package_import_name}-{deployment.version}",
        digest,
        lambda folder: load_package(digest, folder),
    )


def check_needs_of_flows(deployment: Deployment) -> None:
    """See whether the environment of a flow has what the LUME-services of now needs.

    Raises:
        ModelLoadError: It was made for another release, which needed less.
    """
    lock = Lock.from_document(deployment.environment or {"python": ""})
    if lock.conda:  # what pip has added to it is not locked
        return
    there = {canonicalize_name(one.name): one for one in map(Requirement, lock.packages)}
    for need in map(Requirement, requirements_of_flows()):
        found = there.get(canonicalize_name(need.name))
        versions = [] if found is None else [one.version for one in found.specifier]
        if found is None or any(not need.specifier.contains(one, True) for one in versions):
            raise ModelLoadError(
                f"Version {deployment.version} of {deployment.model.description!r} was deployed "
                f"with another LUME-services; its environment has {found or f'no {need.name}'}, "
                f"and this one needs {need}. Deploy the package under a new version."
            )


def environment_folder(deployment: Deployment) -> Path:
    """Where the environment of a deployment is, or would be."""
    assert deployment.environment is not None
    return environments().folder / Lock.from_document(deployment.environment).digest


def prune_environments() -> list[str]:
    """Remove the environments that no deployment of the registry needs; which ones."""
    keep: dict[str, set[str]] = {}
    with suppress(DeploymentNotFoundError):
        for one in context.model_db_service().get_deployments():
            if one.environment is not None and one.sha256 is not None:
                digest = Lock.from_document(one.environment).digest
                keep.setdefault(digest, set()).add(one.sha256)
    return [str(folder) for folder in environments().prune(keep)]


def is_installed_here(sha256: str | None) -> bool:
    """Whether the archive of that sha256 is what was installed for this Python, as in an image."""
    return sha256 is not None and sha256 in _installed_archives()


@cache
def _installed_archives() -> set[str]:
    """The sha256 of every archive that was installed by itself, and not from an index."""
    # https://packaging.python.org/en/latest/specifications/direct-url/
    found = set()
    for one in distributions():
        told = json.loads(one.read_text("direct_url.json") or "{}")
        if "archive_info" in told:
            # Pip before 23.1 writes down no hash: then that of the file counts, if it is there.
            digest = told["archive_info"].get("hashes", {}).get("sha256")
            file = Path(url2pathname(urlparse(told["url"]).path))
            if digest is None and file.is_file():
                with file.open("rb") as stream:
                    digest = file_digest(stream, "sha256").hexdigest()
            found.add(str(digest))
    return found


def _variable(name: str, schema: Mapping[str, Any]) -> Any:
    """A lume-base variable as the registry has it; of another class, what is known of it."""
    import lume.variables

    cls = getattr(lume.variables, str(schema.get("variable_class")), None)
    if cls is not None:
        try:
            return cls.model_validate(dict(schema))
        except ValueError:
            pass  # of a later lume-base than the one here
    known = {"read_only": False, **schema, "name": name}
    # Its type is checked where its class is known: by the model.
    return SimpleNamespace(validate_value=lambda *_: None, **known)
