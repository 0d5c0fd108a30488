"""What an environment consists of, to the version."""

from __future__ import annotations

import json
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Self

__all__ = ["Lock"]


@dataclass(frozen=True)
class Lock:
    """What an environment consists of; kept in the registry with the deployment."""

    python: str
    """``3.11``."""
    platform: str = field(default_factory=sysconfig.get_platform)
    """The kind of machine that the packages were found for, ``linux-x86_64``."""
    needs: tuple[str, ...] = ()
    """What was asked for, which led to these packages."""
    packages: tuple[str, ...] = ()
    """Of pip: ``name==version`` each; where conda has a part, what it leaves to pip."""
    conda: tuple[str, ...] = ()
    """Of conda, as ``environment.yml`` writes them."""
    channels: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What an environment of it is called on this kind of machine."""
        same = [self.python, self.platform, self.packages, self.conda, self.channels]
        here = [sysconfig.get_platform(), platform.python_implementation()]
        # Elsewhere other packages may come of the same needs.
        needs = self.needs if self.platform != sysconfig.get_platform() else ()
        return sha256(json.dumps([same, here, needs]).encode()).hexdigest()[:32]

    def to_document(self) -> dict[str, Any]:
        """As the registry keeps it."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of ``to_document``."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in document.items()
        }
        return cls(**values)
