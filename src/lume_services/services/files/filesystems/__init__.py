"""Filesystems that the file service reads from and writes to."""

from __future__ import annotations

from lume_services.services.files.filesystems.filesystem import Filesystem, Serializer
from lume_services.services.files.filesystems.local import LocalFilesystem
from lume_services.services.files.filesystems.mounted import MountedFilesystem
from lume_services.services.files.filesystems.remote import RemoteFilesystem

__all__ = ["Filesystem", "LocalFilesystem", "MountedFilesystem", "RemoteFilesystem", "Serializer"]
