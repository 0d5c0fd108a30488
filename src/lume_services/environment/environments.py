"""The environments of packaged models: made once, found again, shared, and cleaned up.

Everything is in one folder::

    <digest>/                       an environment: what is locked, and nothing else
    <digest>/environment.json       written last; a folder without it is not finished
    <digest>/packages/<sha256>/     a package that runs in it; it gets its name when it is complete
    <digest>/services/<digest>/     LUME-services, for flows that run in it
    <digest>.making                 a lock, held by who adds to it
    <digest>.using                  another, held by everybody who uses it
    <digest>-<sha256>.using         another, held by everybody who uses that package in it
    incoming/                       archives that are being looked at
    logs/                           what the programs that make them have said

Packages stand beside the environment, so that two models, or two versions of one, that need the
same share it.
"""

from __future__ import annotations

import json
import platform
import secrets
import shutil
import sysconfig
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lume_services.environment._held import alone, shared, unless_held
from lume_services.environment.installers import (
    Installer,
    chosen_installer,
    make_conda_environment,
    running_python,
)
from lume_services.environment.lock import Lock
from lume_services.environment.package import Package
from lume_services.environment.services_wheel import wheel_digest
from lume_services.errors import PackageError
from lume_services.services._atomic import make_folder, replacing
from lume_services.settings import EnvironmentConfig

__all__ = ["Environment", "Environments"]

_READY: Final = "environment.json"
_INCOMING: Final = ".incoming-"
_SCRATCH: Final = "lume-incoming-"
_MAKING: Final = ".making"
_USING: Final = ".using"


class Environment:
    """An environment with a package in it; it is not removed while this object lives."""

    def __init__(self, folder: Path, package: Path, held: Sequence[TextIO]) -> None:
        self.folder = folder
        self._package = package
        self._held = held

    @property
    def package(self) -> Path:
        """Folder to import the package from."""
        return self._package

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    def let_go(self) -> None:
        """Use it no more."""
        for lock in self._held:
            lock.close()


class Environments:
    """The environments of one ``LUME_HOME``; any number of processes may use them.

    Args:
        folder: Where they are; it is made when it is needed.
        config: ``LUME_ENVIRONMENT__…``.
        isolated: ``LUME_PREFECT__ISOLATED``: nothing comes from outside.
    """

    def __init__(self, folder: Path, config: EnvironmentConfig, *, isolated: bool) -> None:
        self.folder = folder
        self.config = config
        self.isolated = isolated

    def lock(self, package: Package, archive: Path, extra: Collection[str] = ()) -> Lock:
        """Find out what a package needs, to the version.

        Args:
            package: The package.
            archive: The file it is in.
            extra: Requirements beyond its own.

        Raises:
            PackageError: It does not take the Python of environments.
            EnvironmentBuildError: Its needs contradict each other, or are not to be had.
        """
        python = self.config.python_version or running_python
        exact = platform.python_version() if python == running_python else f"{python}.99"
        if not SpecifierSet(package.requires_python or "").contains(exact, prereleases=True):
            raise PackageError(
                f"{package.name} {package.version} needs Python {package.requires_python}, and "
                f"environments have {python}: set LUME_ENVIRONMENT__PYTHON_VERSION."
            )
        # What environment.yml leaves to pip stands in no metadata of the package.
        needs = tuple(sorted({*package.requirements, *extra}))
        if package.conda:
            return Lock(
                python, needs=needs, packages=needs, conda=package.conda, channels=package.channels
            )
        wanted = [f"{package.name} @ {archive.absolute().as_uri()}", *needs]
        found = self._installer().resolve(wanted, python, self.log(package))
        own = canonicalize_name(package.name)
        others = [one for one in map(Requirement, found) if canonicalize_name(one.name) != own]
        for one in others:
            if str(one.url or "").startswith("file:"):
                raise PackageError(
                    f"{package.name} {package.version} needs {one}, which is a file of this "
                    "machine and is on no other: name a version or an address."
                )
        return Lock(python, needs=needs, packages=tuple(sorted(map(str, others), key=str.lower)))

    def ensure(
        self, lock: Lock, name: str, sha256: str, archive: Callable[[Path], Path]
    ) -> Environment:
        """An environment with a package in it, made where it is missing.

        On another kind of machine than the one it was locked on, what the package needs is found
        anew, with the same versions of what is needed on both.

        Of several processes that want it one makes it, and the others wait.

        Args:
            lock: What it consists of.
            name: Of the package and its version, for the log's name.
            sha256: Of the package's archive.
            archive: Puts the archive into a folder; called when the package is missing.

        Raises:
            EnvironmentBuildError: It could not be made; nothing is left of it.
        """
        folder = self.folder / lock.digest
        package = folder / "packages" / sha256
        held = [shared(folder.with_suffix(_USING)), shared(self._lock_of(package))]
        if not (_is_ready(folder) and package.is_dir()):
            with folder.with_suffix(_MAKING).open("w") as making, alone(making):
                log = self._log(name)
                if not _is_ready(folder):
                    self._make(folder, lock, log)
                if not package.is_dir():
                    self._add(folder, package, archive, log)
        return Environment(folder, package, held)

    def add(self, environment: Environment, digest: str, archive: Callable[[Path], Path]) -> Path:
        """Have a package beside an environment that is none of a deployment's.

        Args:
            environment: The environment, which the caller uses.
            digest: What the package is found by.
            archive: Makes its archive in a folder; called when it is missing.

        Returns:
            The folder to import it from.
        """
        package = environment.folder / "services" / digest
        if not package.is_dir():
            package.parent.mkdir(exist_ok=True)
            with environment.folder.with_suffix(_MAKING).open("w") as making, alone(making):
                if not package.is_dir():
                    self._add(environment.folder, package, archive, self._log(digest[:12]))
        return package

    def has(self, lock: Lock, sha256: str | None = None) -> bool:
        """Whether an environment is there; with a package in it, where one is asked for."""
        folder = self.folder / lock.digest
        return _is_ready(folder) and (sha256 is None or (folder / "packages" / sha256).is_dir())

    def remove(self, lock: Lock, sha256: str) -> None:
        """Remove a package, and its environment where that has no other, unless they are used."""
        environment = self.folder / lock.digest
        others = [one.name for one in environment.glob("packages/*") if one.name != sha256]
        self._prune(environment, others)

    def log(self, package: Package) -> Path:
        """Where is written what is done for a package."""
        return self._log(f"{package.name}-{package.version}")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is looked at, removed afterwards, or by ``sweep``."""
        make_folder(parent := self.config.tmp_directory or self.folder / "incoming")
        folder = parent / f"{_SCRATCH}{secrets.token_hex(8)}"
        lock, not_held = folder.with_suffix(".lock"), folder.with_suffix(".new")
        with not_held.open("w") as held, alone(held):
            not_held.rename(lock)  # so that `sweep` sees no lock that is not held yet
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what was being made by processes that were killed."""
        for lock in (self.config.tmp_directory or self.folder / "incoming").glob(
            f"{_SCRATCH}*.lock"
        ):
            with unless_held(lock) as alone:
                if alone:
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
        for lock in self.folder.glob(f"*{_MAKING}"):
            folder = lock.with_suffix("")
            with unless_held(lock) as alone:
                if alone and folder.exists() and not _is_ready(folder):
                    shutil.rmtree(folder)
                if alone:
                    for unfinished in folder.glob(f"*/{_INCOMING}*"):
                        shutil.rmtree(unfinished)

    def prune(self, keep: Mapping[str, Collection[str]]) -> list[Path]:
        """Remove environments, and packages in them, that nobody needs or uses.

        Args:
            keep: Of each environment that is needed, by its digest: the sha256 of the packages.

        Returns:
            The folders that were removed.
        """
        self.sweep()
        removed = []
        for ready in sorted(self.folder.glob(f"*/{_READY}")):
            removed += self._prune(ready.parent, keep.get(ready.parent.name, ()))
        return removed

    def _prune(self, environment: Path, keep: Collection[str]) -> list[Path]:
        removed = []
        with unless_held(environment.with_suffix(_MAKING)) as nobody_makes:
            if not nobody_makes:
                return []
            for package in sorted(environment.glob("packages/*")):
                with unless_held(self._lock_of(package)) as nobody_uses:
                    if nobody_uses and package.name not in keep:
                        shutil.rmtree(package)
                        removed.append(package)
            with unless_held(environment.with_suffix(_USING)) as nobody_uses:
                if nobody_uses and not any(environment.glob("packages/*")):
                    # Unfinished from here on, should this process be killed meanwhile.
                    (environment / _READY).unlink(missing_ok=True)
                    shutil.rmtree(environment)
                    removed = [environment]
                elif nobody_uses:
                    for one in environment.glob("services/*"):
                        if one.name != wheel_digest():  # of a release that is no longer here
                            shutil.rmtree(one)
                            removed.append(one)
        return removed

    def _lock_of(self, package: Path) -> Path:
        return self.folder / f"{package.parent.parent.name}-{package.name}{_USING}"

    def _installer(self) -> Installer:
        return chosen_installer(self.config, isolated=self.isolated)

    def _log(self, name: str) -> Path:
        make_folder(logs := self.folder / "logs")
        return logs / f"{name}.log"

    def _make(self, folder: Path, lock: Lock, log: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            installer = self._installer()
            packages = lock.packages
            if lock.conda:
                make_conda_environment(
                    folder,
                    lock.python,
                    lock.conda,
                    lock.channels,
                    log,
                    self.config,
                    isolated=self.isolated,
                )
            else:
                installer.make(folder, lock.python, log)
                if lock.platform != sysconfig.get_platform():
                    found = installer.resolve(lock.needs, lock.python, log, lock.packages)
                    packages = tuple(found)
            # What is locked is all there is; what conda leaves to pip may need more.
            options = () if lock.conda else ("--no-deps",)
            if packages:
                installer.install(packages, folder / "bin" / "python", log, *options)
            (folder / "packages").mkdir()
            with replacing(folder / _READY) as file:
                file.write_text(json.dumps(lock.to_document(), indent=2), encoding="utf-8")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _add(self, folder: Path, package: Path, archive: Callable[[Path], Path], log: Path) -> None:
        incoming = package.with_name(f"{_INCOMING}{secrets.token_hex(8)}")
        incoming.mkdir()
        try:
            with self.scratch() as scratch:
                files = [str(archive(scratch))]
                options = ("--no-deps", "--target", incoming)
                self._installer().install(files, folder / "bin" / "python", log, *options)
            incoming.rename(package)
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)
            raise


def _is_ready(folder: Path) -> bool:
    # Its Python is a link to the one it was made with, which may have been removed since.
    return (folder / _READY).is_file() and (folder / "bin" / "python").exists()
