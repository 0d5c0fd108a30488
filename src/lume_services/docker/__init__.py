"""Containers: the image that jobs run in."""

from __future__ import annotations

from lume_services.docker.image import DEFAULT_IMAGE, build_image

__all__ = ["DEFAULT_IMAGE", "build_image"]
