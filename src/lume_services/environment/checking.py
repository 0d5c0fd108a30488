"""Everything that would stop the deployment of a package, told at once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import SecretStr

from lume_services.environment.inspection import examine
from lume_services.environment.package import Package
from lume_services.environment.source import fetched
from lume_services.errors import PackageError

__all__ = ["check", "problems"]


def problems(source: str | Path) -> list[str]:
    """All that would stop a deployment, each with the remedy; empty when nothing would.

    Args:
        source: As :func:`~lume_services.environment.source.fetched` takes it.

    Raises:
        MissingDependencyError: It is a folder, and the package ``build`` is not there.
    """
    return check(source)[1]


def check(
    source: str | Path,
    *,
    token: SecretStr | None = None,
    tmp: Path | None = None,
    isolated: bool = False,
) -> tuple[Package | None, list[str]]:
    """What a package is, as far as it can be read, and all that would stop its deployment.

    Args:
        source: As :func:`~lume_services.environment.source.fetched` takes it.
        token: For an https address.
        tmp: Where it is unpacked for a moment; the system's folder for that when None.
        isolated: Use nothing but this machine.

    Returns:
        The package, None when it could not be unpacked, and the problems.

    Raises:
        MissingDependencyError: It is a folder, and the package ``build`` is not there.
        ConfigurationError: There is no folder to unpack it in.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            archive = fetched(str(source), Path(folder), token=token, isolated=isolated)
            return examine(archive, tmp=tmp)
        except PackageError as error:
            return None, [str(error)]
