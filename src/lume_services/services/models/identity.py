"""What a model, a version and a flow are called, the same in every database.

Database ids differ from one registry to the next. What is recorded with results must not, so it
is made from names only.
"""

from __future__ import annotations

import json
from uuid import UUID, uuid5

from packaging.version import InvalidVersion, Version

from lume_services.errors import InvalidInputError

__all__ = ["flow_id", "normalized_version"]

# Random, and part of the format of stored results: it never changes.
_NAMESPACE = UUID("6f0d9a52-3f0e-4a86-9f0b-2a1c7d5be4c3")


def normalized_version(version: str) -> str:
    """Check a version and write it the way that PEP 440 prefers (``v1.0-rc1`` is ``1.0rc1``).

    Args:
        version: The version of a deployment.

    Raises:
        InvalidInputError: It is not a version as https://peps.python.org/pep-0440 defines it.
    """
    try:
        return str(Version(version))
    except (InvalidVersion, TypeError):
        raise InvalidInputError(
            f"version={version!r} is not a PEP 440 version; write for example '1.0.0', '2.1rc1' "
            "or '2026.3.1'"
        ) from None


def flow_id(
    *,
    author: str,
    laboratory: str,
    facility: str,
    beampath: str,
    description: str,
    version: str,
    project_name: str,
    flow_name: str,
) -> str:
    """The id of a flow: the same on every backend, in every registry and on every machine.

    It is the UUID5 (RFC 9562) of the eight arguments written as a JSON list, so results that are
    copied to another database keep their meaning, and what is deployed anew keeps its id.

    Args:
        author: Author of the model.
        laboratory: Laboratory of the model.
        facility: Facility of the model.
        beampath: Beampath of the model.
        description: Description of the model.
        version: PEP 440 version of the deployment that the flow belongs to.
        project_name: Project that the flow is stored under.
        flow_name: Name of the flow.

    Returns:
        A UUID, 36 characters.

    Raises:
        InvalidInputError: The version is not a PEP 440 version.

    >>> flow_id(
    ...     author="", laboratory="SLAC", facility="LCLS", beampath="cu_hxr",
    ...     description="injector", version="1.0", project_name="local", flow_name="run",
    ... )
    '68d13117-7df8-5bd1-b29b-ea1903b661cf'
    """
    names = [
        author,
        laboratory,
        facility,
        beampath,
        description,
        normalized_version(version),
        project_name,
        flow_name,
    ]
    return str(uuid5(_NAMESPACE, json.dumps(names)))
