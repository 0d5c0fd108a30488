"""The programs that make environments: uv or pip with venv, and conda's where conda is asked for.

Each is run with its output going to a log. Nothing they do concerns the environment of who asks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

from lume_services.errors import ConfigurationError, EnvironmentBuildError, MissingDependencyError
from lume_services.settings import EnvironmentConfig

__all__ = ["Installer", "chosen_installer", "make_conda_environment", "running_python"]

Argument: TypeAlias = str | Path

_SHOWN_LINES: Final = 12
_CONDA: Final = ("micromamba", "mamba", "conda")

running_python: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python that this process runs with."""


class Installer(ABC):
    """What makes environments of Python's own kind, and installs into any.

    Args:
        config: Where packages come from.
        isolated: Whether nothing may come from outside.

    Raises:
        ConfigurationError: Isolated, and there is no local repository.
    """

    def __init__(self, config: EnvironmentConfig, *, isolated: bool) -> None:
        self._repository = config.local_pip_repository
        self.isolated = isolated
        if isolated and self._repository is None:
            raise ConfigurationError(
                "LUME_PREFECT__ISOLATED is set, so that packages come from a repository of yours: "
                "set LUME_ENVIRONMENT__LOCAL_PIP_REPOSITORY to its folder or address."
            )

    @abstractmethod
    def make(self, folder: Path, python: str, log: Path) -> None:
        """Make an empty environment with a Python, ``3.11``."""

    @abstractmethod
    def resolve(
        self, requirements: Sequence[str], python: str, log: Path, constraints: Sequence[str] = ()
    ) -> list[str]:
        """The exact version of each package that requirements lead to, ``name==version``.

        What is required by its address, ``name @ file:///…``, is among them by its address.

        Args:
            requirements: As PEP 508 writes them.
            python: The Python they are for, ``3.11``.
            log: Where the output goes.
            constraints: Versions to choose where a package is needed at all, ``name==version``.

        Raises:
            EnvironmentBuildError: They contradict each other, or something is not to be had.
        """

    @abstractmethod
    def install(self, packages: Sequence[str], python: Path, log: Path, *options: Argument) -> None:
        """Install packages for a Python.

        Args:
            packages: As ``resolve`` gives them, or files; at least one.
            python: The Python of the environment.
            log: Where the output goes.
            options: ``--no-deps`` for nothing that they need, ``--target`` and a folder to install
                into in the place of the environment.
        """

    def _sources(self) -> list[str]:
        """Where packages come from, as pip and uv both take it."""
        if self._repository is None:
            return []
        if "://" in self._repository:
            return ["--index-url", self._repository]
        found = ["--find-links", self._repository]
        return ["--no-index", *found] if self.isolated else found


class Uv(Installer):
    """By https://docs.astral.sh/uv, which is some ten times as fast as pip."""

    def __init__(self, program: str, config: EnvironmentConfig, *, isolated: bool) -> None:
        super().__init__(config, isolated=isolated)
        self._program = program

    def make(self, folder: Path, python: str, log: Path) -> None:
        """See ``Installer.make``; uv fetches a Python that is not here."""
        self._run(log, "venv", "--clear", "--python", _interpreter(python), folder)

    def resolve(
        self, requirements: Sequence[str], python: str, log: Path, constraints: Sequence[str] = ()
    ) -> list[str]:
        """See ``Installer.resolve``."""
        with tempfile.TemporaryDirectory() as folder:
            listed, found = Path(folder) / "requirements.in", Path(folder) / "requirements.txt"
            known = Path(folder) / "constraints.txt"
            listed.write_text("".join(f"{one}\n" for one in requirements), encoding="utf-8")
            known.write_text("".join(f"{one}\n" for one in constraints), encoding="utf-8")
            how = ("--no-header", "--no-annotate", "--python", _interpreter(python), "-c", known)
            self._run(log, "pip", "compile", *how, *self._sources(), "-o", found, listed)
            return found.read_text("utf-8").splitlines()

    def install(self, packages: Sequence[str], python: Path, log: Path, *options: Argument) -> None:
        """See ``Installer.install``."""
        self._run(log, "pip", "install", "--python", python, *options, *self._sources(), *packages)

    def _run(self, log: Path, *arguments: Argument) -> None:
        options = ["--no-progress", *(["--offline"] if self._is_offline() else [])]
        _run(log, [self._program, *options, *arguments])

    def _is_offline(self) -> bool:
        return self.isolated and "://" not in str(self._repository)


class Pip(Installer):
    """By venv of the standard library, and the pip of this environment."""

    def make(self, folder: Path, python: str, log: Path) -> None:
        """See ``Installer.make``."""
        shutil.rmtree(folder, ignore_errors=True)
        _run(log, [_interpreter(python), "-m", "venv", "--without-pip", folder])

    def resolve(
        self, requirements: Sequence[str], python: str, log: Path, constraints: Sequence[str] = ()
    ) -> list[str]:
        """See ``Installer.resolve``."""
        import json

        with tempfile.TemporaryDirectory() as folder:
            environment, report = Path(folder) / "environment", Path(folder) / "report.json"
            self.make(environment, python, log)
            known = Path(folder) / "constraints.txt"
            known.write_text("".join(f"{one}\n" for one in constraints), encoding="utf-8")
            options = ("--dry-run", "--ignore-installed", "--report", report, "-c", known)
            if requirements:
                self._pip(environment / "bin" / "python", log, *options, *requirements)
                return [_pinned(one) for one in json.loads(report.read_text("utf-8"))["install"]]
        return []

    def install(self, packages: Sequence[str], python: Path, log: Path, *options: Argument) -> None:
        """See ``Installer.install``."""
        self._pip(python, log, *options, *packages)

    def _pip(self, python: Path, log: Path, *arguments: Argument) -> None:
        alone = ["--isolated"] if self.isolated else []
        command: list[Argument] = [sys.executable, "-m", "pip", *alone, "--python", python]
        _run(log, [*command, "install", *self._sources(), *arguments])


def _pinned(installed: dict[str, Any]) -> str:
    """A package of pip's report, as a requirement of exactly this one."""
    # https://pip.pypa.io/en/stable/reference/installation-report/
    name, version = installed["metadata"]["name"], installed["metadata"]["version"]
    if not installed["is_direct"]:
        return f"{name}=={version}"
    where = installed["download_info"]
    url, fragment = where["url"], []
    if vcs := where.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if digest := where.get("archive_info", {}).get("hash"):
        fragment.append(digest)
    if folder := where.get("subdirectory"):
        fragment.append(f"subdirectory={folder}")
    return f"{name} @ {url}{'#' if fragment else ''}{'&'.join(fragment)}"


def chosen_installer(config: EnvironmentConfig, *, isolated: bool) -> Installer:
    """The best that is here.

    Raises:
        MissingDependencyError: Neither uv nor pip is.
        ConfigurationError: See ``Installer``.
    """
    if program := _uv():
        return Uv(program, config, isolated=isolated)
    if find_spec("pip") is None:
        raise MissingDependencyError(
            "Making the environment of a package needs uv, or pip: pip install "
            "'lume-services[packages]'"
        )
    return Pip(config, isolated=isolated)


def make_conda_environment(
    folder: Path,
    python: str,
    packages: Sequence[str],
    channels: Sequence[str],
    log: Path,
    config: EnvironmentConfig,
    *,
    isolated: bool,
) -> None:
    """Make an environment with packages of conda.

    Args:
        folder: The environment.
        python: Its Python, ``3.11``.
        packages: As ``environment.yml`` writes them.
        channels: Likewise; ``conda-forge`` where there are none.
        log: Where the output goes.
        config: Where packages come from.
        isolated: Whether nothing may come from outside.

    Raises:
        EnvironmentBuildError: There is no conda here, or it failed.
    """
    program = next(filter(None, map(shutil.which, _CONDA)), None)
    if program is None:
        raise EnvironmentBuildError(
            f"The package asks conda for {', '.join(packages)} (environment.yml), and there is no "
            f"{' or '.join(_CONDA)} on PATH: install micromamba."
        )
    local = config.local_conda_channel_directory
    sources = [] if isolated else list(channels or ("conda-forge",))
    if local is not None:
        sources.insert(0, local.absolute().as_uri())
    options = [f"--channel={source}" for source in sources] + ["--offline"] * isolated
    command: list[Argument] = [program, "create", "--yes", "--prefix", folder]
    _run(log, [*command, "--override-channels", *options, f"python={python}", *packages])


def _uv() -> str | None:
    if program := shutil.which("uv"):
        return program
    beside = Path(sys.executable).with_name("uv")  # where `pip install uv` has put it
    return str(beside) if beside.exists() else None


def _interpreter(python: str) -> str:
    """The program, or for uv what it is to look for."""
    if python == running_python:
        return sys.executable
    if found := shutil.which(f"python{python}"):
        return found
    if _uv() is not None:
        return python
    raise EnvironmentBuildError(
        f"There is no python{python} on PATH: install it, or set LUME_ENVIRONMENT__PYTHON_VERSION"
    )


def _run(log: Path, command: Sequence[Argument]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(map(str, command))}\n")
        file.flush()
        done = subprocess.run(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=log.parent,  # the settings of a project in the current folder are none of this
            close_fds=False,  # the lock on what is made is for it too
            check=False,
        )
    if done.returncode:
        lines = log.read_text("utf-8", errors="replace").splitlines()
        start = max(n for n, line in enumerate(lines) if line.startswith("$ ")) + 1
        said = "\n".join(f"  {line}" for line in lines[start:][-_SHOWN_LINES:])
        raise EnvironmentBuildError(f"The environment could not be made ({log}):\n{said}")
