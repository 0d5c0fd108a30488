"""What is in a package, read without running any of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Package"]


@dataclass(frozen=True)
class Package:
    """An sdist or wheel with a model, as its metadata describe it."""

    filename: str
    """Name of the archive."""
    sha256: str
    """Of the archive, in lower-case hex."""
    size: int
    """Of the archive, in bytes."""
    name: str
    """Of the distribution."""
    version: str
    """PEP 440, normalised."""
    import_name: str
    """What it is imported by."""
    model: str | None = None
    """``module:name`` of the entry point ``<import name>.model``."""
    flow: str | None = None
    """``module:name`` of the entry point ``<import name>.flow``."""
    requirements: tuple[str, ...] = ()
    """What it needs of pip, as PEP 508 writes it."""
    requires_python: str | None = None
    conda: tuple[str, ...] = ()
    """What ``environment.yml`` asks of conda, Python and pip apart."""
    channels: tuple[str, ...] = ()
    """The channels that it names."""
    image: str | None = None
    """``IMAGE`` of ``<import name>/_image.py``: the container image that it runs in."""
    prefect1_flow: bool = False
    """Whether its flow is written for Prefect 1; ``flow`` is None then."""
