"""What every filesystem promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import SecretStr

from lume_services.errors import (
    ConfigurationError,
    FilesystemError,
    LUMEServicesError,
    MissingFileError,
    SerializationError,
)

__all__ = ["Filesystem", "Serializer"]


class Serializer(Protocol):
    """Turns an object into a file of this machine and back.

    Every ``lume.serializers.base.SerializerBase`` is one.
    """

    def serialize(self, filename: str, object: Any, /) -> None:  # noqa: A002 (lume-base's name)
        """Write the object to the file, which exists and is empty."""

    def deserialize(self, filename: str, /) -> Any:
        """Read the object back. The file may be gone once this has returned."""


class Filesystem(ABC):
    """A place for files, known by its identifier.

    An implementation supplies seven methods; ``lume_services.testing.filesystems`` holds the tests
    that it has to pass. What it promises:

    - **Paths** are ``/``-separated strings. A relative one starts at the filesystem's own root
      (for the local filesystem: ``LUME_HOME/files``). A path that leads out of the filesystem
      raises ``PathOutsideFilesystemError``.
    - **Libraries want real files.** ``reading`` and ``writing`` therefore hand out a path on
      this machine: the file itself where the filesystem is a part of this machine, otherwise a
      temporary copy that is fetched before, or sent after, the ``with`` block.
    - **Writes are atomic.** A reader sees the old file or the new one, never a part of one, and so
      it stays when the writer is killed. Of two writers at once the last to finish wins. The file
      is durable when ``writing`` is left. What a killed writer leaves behind is not listed.
    - **Errors** are ``FilesystemError``; for a file or folder that is not there its subclass
      ``MissingFileError``, which is also a ``FileNotFoundError``; for a server that is away
      ``FilesystemUnavailableError``. Wrong settings are a ``ConfigurationError``.
    - It may be used from several threads, and carries nothing from one call to the next.
    """

    identifier: str
    """The name by which file records refer to it."""

    @classmethod
    def from_url(
        cls, identifier: str, url: str, options: Mapping[str, SecretStr] | None = None
    ) -> Self:
        """Make the filesystem of ``LUME_FILESYSTEMS__<identifier>__URL`` and ``__OPTIONS__…``.

        Override it for a filesystem that is selected by the scheme of its URL, through an entry
        point of group ``lume_services.filesystems``.

        Args:
            identifier: The name by which file records are to refer to it.
            url: Where it is, ``scheme://…``.
            options: What else it is to know, credentials among them; refuse what is not known.

        Raises:
            ConfigurationError: This filesystem is not made from a URL, or not from this one.
        """
        raise ConfigurationError(
            f"{cls.__name__} is not made from a URL: pass an instance to "
            "configure(filesystems=[…]), or give it a from_url of its own."
        )

    @property
    def address(self) -> str:
        """Where the filesystem is, without secrets; for people. Its identifier when not told."""
        return self.identifier

    def __str__(self) -> str:
        return self.address

    @abstractmethod
    def reading(self, path: str) -> AbstractContextManager[Path]:
        """Make a file readable as a file of this machine.

        Args:
            path: The file.

        Returns:
            A context giving the local path, to be read only, and only inside the context. Its
            suffix is that of ``path``.

        Raises:
            MissingFileError: There is no such file.
            FilesystemError: It cannot be read.
            PathOutsideFilesystemError: The path leads out of the filesystem.
        """

    @abstractmethod
    def writing(self, path: str, *, create_dir: bool = True) -> AbstractContextManager[Path]:
        """Replace a file, or make a new one, as a whole.

        When the context is left by an exception, the exception goes on unchanged and the file
        stays as it was.

        Args:
            path: The file.
            create_dir: Make the folder, and those above it, when missing.

        Returns:
            A context giving the path of an empty local file to write to. Its suffix is that of
            ``path``. It takes the place of ``path`` when the context is left.

        Raises:
            MissingFileError: The folder does not exist and ``create_dir`` is false.
            FilesystemError: The file cannot be written.
            PathOutsideFilesystemError: The path leads out of the filesystem.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file, durably.

        The folder it was in stays when ``create_dir`` made it; one that came into being with a
        file may be gone with the last one.

        Raises:
            MissingFileError: There is no such file.
            FilesystemError: It cannot be deleted, or is a folder.
            PathOutsideFilesystemError: The path leads out of the filesystem.
        """

    @abstractmethod
    def file_exists(self, path: str) -> bool:
        """Whether there is a file (not a folder) at this path.

        Raises:
            PathOutsideFilesystemError: The path leads out of the filesystem.
        """

    @abstractmethod
    def dir_exists(self, path: str) -> bool:
        """Whether there is a folder at this path.

        Raises:
            PathOutsideFilesystemError: The path leads out of the filesystem.
        """

    @abstractmethod
    def create_dir(self, path: str) -> None:
        """Make a folder and those above it; one that is there already is left alone.

        Raises:
            FilesystemError: It cannot be made.
            PathOutsideFilesystemError: The path leads out of the filesystem.
        """

    @abstractmethod
    def list_dir(self, path: str = "") -> list[str]:
        """Names of the files and folders directly in a folder.

        Args:
            path: The folder; the root when empty.

        Returns:
            The names, sorted; those of folders end in ``/``. Unfinished files are left out.

        Raises:
            MissingFileError: There is no such folder.
            PathOutsideFilesystemError: The path leads out of the filesystem.
        """

    def read(self, path: str, serializer: Serializer) -> Any:
        """Read an object from a file.

        Args:
            path: The file.
            serializer: How the object is read.

        Returns:
            The object, independent of the file.

        Raises:
            SerializationError: The file does not hold what the serializer reads.
            MissingFileError: There is no such file.
            FilesystemError: It cannot be read.
        """
        with self._reporting("read", path), self.reading(path) as local:
            return serializer.deserialize(str(local))

    def write(
        self, path: str, obj: Any, serializer: Serializer, *, create_dir: bool = True
    ) -> None:
        """Write an object to a file, atomically.

        Args:
            path: The file.
            obj: The object.
            serializer: How the object is written.
            create_dir: Make the folder, and those above it, when missing.

        Raises:
            SerializationError: The serializer does not write such objects.
            MissingFileError: The folder does not exist and ``create_dir`` is false.
            FilesystemError: The file cannot be written.
        """
        with self._reporting("write", path), self.writing(path, create_dir=create_dir) as local:
            serializer.serialize(str(local), obj)

    @contextmanager
    def _reporting(self, verb: str, path: str) -> Iterator[None]:
        """Name path and filesystem in the errors of serializers and of the operating system."""
        try:
            yield
        except SerializationError as error:
            raise SerializationError(
                f"Cannot {verb} {path!r} on filesystem {self.identifier!r}: {error}"
            ) from error
        except LUMEServicesError:
            raise
        except OSError as error:
            kind = MissingFileError if isinstance(error, FileNotFoundError) else FilesystemError
            raise kind(
                f"Cannot {verb} {path!r} on filesystem {self.identifier!r}: "
                f"{error.strerror or error}."
            ) from error
