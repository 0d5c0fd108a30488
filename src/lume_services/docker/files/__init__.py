"""The files that images and the stack are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["DOCKER_COMPOSE"]

DOCKER_COMPOSE: Final = Path(__file__).with_name("docker-compose.yml")
"""The compose file of all services on one machine."""
