"""Containers: the image that jobs run in, and a whole stack on one machine."""

from __future__ import annotations

from lume_services.docker.image import DEFAULT_IMAGE, build_image
from lume_services.docker.stack import Stack

__all__ = ["DEFAULT_IMAGE", "Stack", "build_image"]
