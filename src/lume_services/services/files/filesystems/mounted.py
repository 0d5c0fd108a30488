"""A folder, or one file, that jobs see under another path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from lume_services.errors import (
    ConfigurationError,
    FilesystemError,
    PathOutsideFilesystemError,
)
from lume_services.services.files.filesystems.local import LocalFilesystem
from lume_services.services.files.settings import MountedFilesystemConfig, MountType

__all__ = ["MountedFilesystem"]


class MountedFilesystem(LocalFilesystem):
    """A folder of this machine that containers see under another path, its alias.

    A path may be given as the host knows it, as jobs know it, or relative to the mount; all three
    name the same file, on the host and in a job. Nothing outside the mount can be reached, by
    ``..`` or by a symbolic link.

    Whether this is the host or a job shows in what is there: the alias is used when something is
    mounted at it, or when it is all there is. Choose one that is no mount point of the host.

    Mount types are those of Kubernetes' ``hostPath`` volumes
    (https://kubernetes.io/docs/concepts/storage/volumes/#hostpath): a ``Directory`` or ``File``
    must be there, a ``DirectoryOrCreate`` or ``FileOrCreate`` is made when it is not. A mount of
    one file holds that file only; containers that it is mounted into can read it, but not replace
    it, and do not see it replaced: mount the folder for that.
    """

    def __init__(
        self,
        identifier: str = "mounted",
        *,
        mount_path: str | Path,
        mount_alias: str | Path,
        mount_type: MountType = "DirectoryOrCreate",
    ) -> None:
        """Find the mount, and make it if its type says so.

        Args:
            identifier: The name by which file records refer to this filesystem.
            mount_path: The folder or file on the host.
            mount_alias: The path under which jobs see it.
            mount_type: Of what kind it is, and whether it is made when missing.

        Raises:
            ConfigurationError: The mount is missing and not to be made, of the wrong kind, or
                cannot be made.
        """
        if mount_type not in get_args(MountType):
            raise ConfigurationError(
                f"mount_type={mount_type!r} of filesystem {identifier!r} is not one of "
                f"{', '.join(get_args(MountType))}."
            )
        self.identifier = identifier
        self.mount_path = Path(mount_path).expanduser().absolute()
        self.mount_alias = Path(mount_alias)
        if not self.mount_alias.is_absolute():
            raise ConfigurationError(
                f"mount_alias={str(mount_alias)!r} of filesystem {identifier!r} is not an absolute "
                "path. Give the path under which jobs see the mount."
            )
        self._one_file = mount_type.startswith("File")
        root = self._here(mount_type)
        self._check(root, mount_type)
        self._root = root.resolve()

    @classmethod
    def from_settings(cls, config: MountedFilesystemConfig) -> MountedFilesystem:
        """Make it from ``LUME_MOUNTED_FILESYSTEM__…``."""
        return cls(
            config.identifier,
            mount_path=config.mount_path,
            mount_alias=config.mount_alias,
            mount_type=config.mount_type,
        )

    @property
    def address(self) -> str:
        """The folder, as the host and as jobs know it."""
        return f"{self.mount_path}, in jobs {self.mount_alias}"

    def _locate(self, path: Path) -> Path:
        below = self._below(path)
        if below is not None:
            real = (self._root / below).resolve()
            if real == self._root or (real.is_relative_to(self._root) and not self._one_file):
                return real
        raise PathOutsideFilesystemError(
            f"{str(path)!r} is not in the mount of filesystem {self.identifier!r}: "
            f"{self.mount_path} on the host, {self.mount_alias} in jobs."
        )

    def _below(self, path: Path) -> Path | None:
        """The path from the root of the mount; None when it is not one of the mount's."""
        if not path.is_absolute():
            named = self._one_file and str(path) in (self.mount_path.name, self.mount_alias.name)
            return Path() if named else path
        roots = [
            root
            for root in (self.mount_path, self.mount_alias, self._root)
            if path.is_relative_to(root)
        ]
        if not roots:
            return None
        # Where one root lies in the other, the inner one is meant, on the host and in jobs alike.
        return path.relative_to(max(roots, key=lambda root: len(root.parts)))

    def _here(self, mount_type: MountType) -> Path:
        """The mount's path in this process: that of the host, or inside a job the alias."""
        if not _exists(self.mount_alias):
            return self.mount_path
        if self.mount_alias.is_mount():
            return self.mount_alias
        # The alias may be just another folder of the host, where the mount is still to be made.
        makes = mount_type.endswith("OrCreate") and _exists(self.mount_path.parent)
        return self.mount_path if makes or _exists(self.mount_path) else self.mount_alias

    def _check(self, root: Path, mount_type: MountType) -> None:
        try:
            if mount_type == "DirectoryOrCreate":
                root.mkdir(parents=True, exist_ok=True)
            elif mount_type == "FileOrCreate" and not _exists(root):
                root.touch()
            as_it_should_be = root.is_file() if self._one_file else root.is_dir()
        except OSError as error:
            raise ConfigurationError(
                f"The mount {root} of filesystem {self.identifier!r} cannot be made: "
                f"{error.strerror or error}."
            ) from error
        if not as_it_should_be:
            kind = "file" if self._one_file else "folder"
            raise ConfigurationError(
                f"The mount of filesystem {self.identifier!r} is not there: mount_type="
                f"{mount_type!r} needs the {kind} {self.mount_path} on the host, or "
                f"{self.mount_alias} inside a job. Make it, or use a mount type ending in OrCreate."
            )

    def delete(self, path: str) -> None:
        """See ``Filesystem.delete``; the file of a mount of one file is there to stay."""
        if self._one_file:
            raise FilesystemError(
                f"Cannot delete {path!r} on filesystem {self.identifier!r}: it is the mount itself."
            )
        super().delete(path)

    def list_dir(self, path: str = "") -> list[str]:
        """See ``Filesystem.list_dir``; a mount of one file lists that file."""
        if self._one_file and path == "":
            return [self.mount_path.name]
        return super().list_dir(path)


def _exists(path: Path) -> bool:
    # Path.exists raises where a folder above may not be looked into; then it is not there for us.
    return os.access(path, os.F_OK)
