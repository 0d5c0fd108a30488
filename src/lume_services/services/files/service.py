"""The file service: every configured filesystem by its identifier."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lume_services.errors import ConfigurationError, FilesystemNotFoundError
from lume_services.services.files.filesystems import Filesystem, Serializer

__all__ = ["FileService"]


class FileService:
    """Reads and writes files on several filesystems.

    The arguments named ``filesystem_identifier`` choose the filesystem; all methods raise
    ``FilesystemNotFoundError`` when there is none of that name, and the errors of ``Filesystem``.
    """

    def __init__(self, filesystems: Iterable[Filesystem]) -> None:
        """Serve these filesystems.

        Raises:
            ConfigurationError: Two of them have the same identifier.
        """
        self._filesystems: dict[str, Filesystem] = {}
        for filesystem in filesystems:
            if filesystem.identifier in self._filesystems:
                raise ConfigurationError(
                    f"Two filesystems have the identifier {filesystem.identifier!r}; file records "
                    "would not say which one is meant. Rename one."
                )
            self._filesystems[filesystem.identifier] = filesystem

    @property
    def identifiers(self) -> list[str]:
        """The identifiers of all filesystems, sorted."""
        return sorted(self._filesystems)

    def filesystem(self, filesystem_identifier: str) -> Filesystem:
        """The filesystem of that identifier."""
        try:
            return self._filesystems[filesystem_identifier]
        except KeyError:
            raise FilesystemNotFoundError(
                f"There is no filesystem {filesystem_identifier!r}. Configured: "
                f"{', '.join(self.identifiers) or 'none'}."
            ) from None

    def read(self, filesystem_identifier: str, path: str, serializer: Serializer) -> Any:
        """Read an object from a file. See ``Filesystem.read``."""
        return self.filesystem(filesystem_identifier).read(path, serializer)

    def write(
        self,
        filesystem_identifier: str,
        path: str,
        obj: Any,
        serializer: Serializer,
        create_dir: bool = True,
    ) -> None:
        """Write an object to a file, atomically. See ``Filesystem.write``."""
        self.filesystem(filesystem_identifier).write(path, obj, serializer, create_dir=create_dir)

    def delete(self, filesystem_identifier: str, path: str) -> None:
        """Delete a file, durably. See ``Filesystem.delete``."""
        self.filesystem(filesystem_identifier).delete(path)

    def file_exists(self, filesystem_identifier: str, path: str) -> bool:
        """Whether there is a file at this path. See ``Filesystem.file_exists``."""
        return self.filesystem(filesystem_identifier).file_exists(path)

    def dir_exists(self, filesystem_identifier: str, path: str) -> bool:
        """Whether there is a folder at this path. See ``Filesystem.dir_exists``."""
        return self.filesystem(filesystem_identifier).dir_exists(path)

    def create_dir(self, filesystem_identifier: str, path: str) -> None:
        """Make a folder and those above it. See ``Filesystem.create_dir``."""
        self.filesystem(filesystem_identifier).create_dir(path)

    def list_dir(self, filesystem_identifier: str, path: str = "") -> list[str]:
        """Names of the files and folders in a folder. See ``Filesystem.list_dir``."""
        return self.filesystem(filesystem_identifier).list_dir(path)
