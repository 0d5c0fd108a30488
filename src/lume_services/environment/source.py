"""Where a package comes from: a file, a checkout that is built, or an address."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from lume_services.environment._download import MAX_SIZE, address_of, download, too_large
from lume_services.environment.archive import SDIST, WHEEL
from lume_services.errors import MissingDependencyError, PackageError
from lume_services.services._atomic import TEMPORARY_PREFIX, replacing

__all__ = ["fetched"]

_LINES_SHOWN: Final = 10
_PROJECT_FILES: Final = ("pyproject.toml", "setup.py")


def fetched(
    source: str, folder: Path, *, token: SecretStr | None = None, isolated: bool = False
) -> Path:
    """Bring the archive of a package into a folder.

    Args:
        source: Path of an sdist or wheel, which is copied; path of a folder with ``pyproject.toml``
            or ``setup.py``, of which an sdist is built, so that its build code runs; or an http or
            https URL, perhaps with ``#sha256=<hex>``, which is verified.
        folder: Exists; nothing is left in it after a failure.
        token: Is sent to the host of an https URL, and to no other.
        isolated: Use nothing but this machine: URLs are refused, and a build finds what it needs
            among the packages that are installed.

    Returns:
        Where the archive is.

    Raises:
        PackageError: It is not there, cannot be fetched or built, or is not what was asked for.
        MissingDependencyError: A folder is to be built, and the package ``build`` is not there.
    """
    try:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
            address = address_of(source)
            if isolated:
                raise PackageError(
                    f"A package on {address.hostname} is not fetched, since LUME_PREFECT__ISOLATED "
                    "is set. Give a file or folder on this machine."
                )
            return download(address, folder, token)
        path = Path(source)
        if path.is_dir():
            return _built(path, folder, isolated=isolated)
        return _copied(path, folder)
    except OSError as error:
        raise PackageError(
            f"The package cannot be brought into {str(folder)!r} ({error.strerror or error}). See "
            "that both can be read, and that there is room."
        ) from error


def _copied(path: Path, folder: Path) -> Path:
    if not path.is_file() or not path.name.endswith((SDIST, WHEEL)):
        what = "is not there" if not path.exists() else "is neither sdist nor wheel"
        raise PackageError(
            f"{str(path)!r} {what}. Give a file that ends in {SDIST} or {WHEEL}, a folder with "
            f"{' or '.join(_PROJECT_FILES)}, or an https address."
        )
    if path.stat().st_size > MAX_SIZE:
        raise too_large(str(path))
    target = folder / path.name
    with replacing(target) as new:
        shutil.copyfile(path, new)
    return target


def _built(checkout: Path, folder: Path, *, isolated: bool) -> Path:
    if not any((checkout / name).is_file() for name in _PROJECT_FILES):
        raise PackageError(
            f"The folder {str(checkout)!r} has no {' and no '.join(_PROJECT_FILES)}: it is not "
            "that of a package."
        )
    try:
        distribution("build")
    except PackageNotFoundError as error:
        raise MissingDependencyError(
            f"Building the package in {str(checkout)!r} needs the package 'build': pip install "
            "'lume-services[packages]'"
        ) from error
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as made:
        command = [sys.executable, "-m", "build", "--sdist", "--outdir", made]
        done = subprocess.run(
            [*command, *(["--no-isolation"] if isolated else []), checkout.absolute()],
            # Not where a build.py could stand that would be run in place of the library.
            cwd=made,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        sdists = list(Path(made).glob(f"*{SDIST}"))
        if done.returncode or len(sdists) != 1:
            said = "\n".join(done.stdout.strip().splitlines()[-_LINES_SHOWN:])
            raise PackageError(
                f"No sdist could be built of {str(checkout)!r}. See what `python -m build --sdist` "
                f"says there; its last lines were:\n{said}"
            )
        return sdists[0].replace(folder / sdists[0].name)
