"""The files of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from lume_services.errors import (
    ConfigurationError,
    FilesystemError,
    MissingFileError,
    PathOutsideFilesystemError,
)
from lume_services.services._atomic import TEMPORARY_PREFIX, make_folder, replacing, sync_folder
from lume_services.services.files.filesystems.filesystem import Filesystem

__all__ = ["LocalFilesystem"]


class LocalFilesystem(Filesystem):
    """The files of this machine, by the paths they have here.

    Relative paths start at the root, ``~`` is the home folder, symbolic links are followed, and
    absolute paths are taken as they are. What it promises beyond ``Filesystem``: a file that is
    replaced keeps its permissions, a new one gets those that the umask allows.
    """

    identifier = "local"

    def __init__(self, root: str | Path = "", *, identifier: str = "local") -> None:
        """Use the files of this machine.

        Args:
            root: Where relative paths start: ``LUME_HOME/files`` when LUME-services makes it, the
                working folder when not given.
            identifier: The name by which file records refer to this filesystem.
        """
        self._root = Path(root)
        self.identifier = identifier

    @classmethod
    def from_url(
        cls, identifier: str, url: str, options: Mapping[str, SecretStr] | None = None
    ) -> Self:
        """Make the filesystem of ``LUME_FILESYSTEMS__<identifier>__URL=file:///folder``.

        Raises:
            ConfigurationError: The URL names no absolute folder, or there are options.
        """
        if options:
            raise ConfigurationError(
                f"LUME_FILESYSTEMS__{identifier.upper()}__OPTIONS__{next(iter(options)).upper()} "
                "is given, but the files of this machine have no options: leave it out"
            )
        path = Path(url.removeprefix("file://"))
        if not path.is_absolute():
            raise ConfigurationError(
                f"LUME_FILESYSTEMS__{identifier.upper()}__URL={url!r} names no folder: write "
                "file:///folder, with three slashes"
            )
        return cls(path, identifier=identifier)

    @property
    def address(self) -> str:
        """The folder in which relative paths start."""
        return str(self._root.absolute())

    def resolve(self, path: str) -> Path:
        """Where a path is on this machine, absolute and with symbolic links followed.

        For handing to programs that read or write files themselves.

        Args:
            path: The path; nothing need be there.

        Raises:
            FilesystemError: It cannot be a path, or its symbolic links go in a circle.
        """
        try:
            return self._locate(Path(path).expanduser())
        except PathOutsideFilesystemError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise FilesystemError(
                f"{path!r} is not a path on filesystem {self.identifier!r}: {error}."
            ) from error

    def _locate(self, path: Path) -> Path:
        return (self._root / path).resolve()

    @contextmanager
    def reading(self, path: str) -> Iterator[Path]:
        """See ``Filesystem.reading``; the file itself is given, not a copy."""
        local = self.resolve(path)
        with self._reporting("read", path):
            local.open("rb").close()
        yield local

    @contextmanager
    def writing(self, path: str, *, create_dir: bool = True) -> Iterator[Path]:
        """See ``Filesystem.writing``; the temporary file is in the same folder."""
        target = self.resolve(path)
        with ExitStack() as replacement:
            with self._reporting("write", path):
                self._find_folder(path, target.parent, create_dir)
                new = replacement.enter_context(replacing(target))
            # Not under _reporting: what the caller does with the file is not ours to rename.
            yield new
            with self._reporting("write", path):
                replacement.close()

    def _find_folder(self, path: str, folder: Path, create_dir: bool) -> None:
        if create_dir:
            make_folder(folder)
        elif not folder.is_dir():
            raise MissingFileError(
                f"Cannot write {path!r} on filesystem {self.identifier!r}: the folder {folder} "
                "does not exist. create_dir=True makes it."
            )

    def delete(self, path: str) -> None:
        """See ``Filesystem.delete``; a symbolic link is deleted, not the file it leads to."""
        with self._reporting("delete", path):
            if self.resolve(path).is_dir():
                raise FilesystemError(
                    f"Cannot delete {path!r} on filesystem {self.identifier!r}: it is a folder."
                )
            name = Path(path).expanduser()
            folder = self._locate(name.parent)
            (folder / name.name).unlink()
            sync_folder(folder)

    def file_exists(self, path: str) -> bool:
        """See ``Filesystem.file_exists``."""
        with self._reporting("look for", path):
            return self.resolve(path).is_file()

    def dir_exists(self, path: str) -> bool:
        """See ``Filesystem.dir_exists``."""
        with self._reporting("look for", path):
            return self.resolve(path).is_dir()

    def create_dir(self, path: str) -> None:
        """See ``Filesystem.create_dir``."""
        with self._reporting("make", path):
            make_folder(self.resolve(path))

    def list_dir(self, path: str = "") -> list[str]:
        """See ``Filesystem.list_dir``."""
        with self._reporting("list", path):
            return sorted(
                f"{entry.name}/" if entry.is_dir() else entry.name
                for entry in self.resolve(path).iterdir()
                if not entry.name.startswith(TEMPORARY_PREFIX)
            )
