"""The file service: files by name on one of several filesystems."""

from __future__ import annotations

from lume_services.services.files.service import FileService

__all__ = ["FileService"]
