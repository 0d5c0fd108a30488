"""Unpacking an sdist or wheel that nobody has vouched for, without running any of it.

What an archive says of itself is not believed: sizes are counted while reading, and names and kinds
are checked before anything is written. What no package needs, links for example, is refused.
"""

from __future__ import annotations

import gzip
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lume_services.errors import PackageError

__all__ = ["MAX_MEMBERS", "MAX_UNPACKED", "SDIST", "WHEEL", "unpack"]

MAX_UNPACKED: Final = 2 * 1024**3
"""Bytes that an archive may unpack to."""
MAX_MEMBERS: Final = 20_000
"""Files and folders that an archive may have."""
SDIST: Final = ".tar.gz"
"""How names of sdists end."""
WHEEL: Final = ".whl"
"""How names of wheels end."""

_CHUNK: Final = 1 << 20
# Long names and extended headers are read into memory as a whole; a path has 4 KiB.
_MAX_HEADER: Final = 1 << 16
# Deeper folders could not be taken away again by shutil, which calls itself for each.
_MAX_DEPTH: Final = 50
_LONG_HEADERS: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# The other methods of zip unpack a chunk to gigabytes at once. pip writes and expects these two.
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def unpack(archive: Path, into: Path) -> Path:
    """Unpack an sdist or a wheel.

    Args:
        archive: The file; its name ends in ``.tar.gz`` or ``.whl``.
        into: An empty folder; it is empty again after a failure.

    Returns:
        The one folder that is in an sdist; for a wheel the folder itself.

    Raises:
        PackageError: It is not such an archive, is broken, is larger than allowed, or would write
            outside the folder or anything else than files and folders.
    """
    if any(into.iterdir()):
        raise PackageError(f"{str(into)!r} is not empty; a package is unpacked into a new folder.")
    if not archive.name.endswith((SDIST, WHEEL)):
        raise PackageError(
            f"{archive.name!r} is neither an sdist ({SDIST}) nor a wheel ({WHEEL}). Make one with "
            "`python -m build`."
        )
    with _leaving_nothing(into), _explained(archive):
        if archive.name.endswith(WHEEL):
            _unpack_zip(archive, into)
            return into
        return into / _unpack_tar(archive, into)


@contextmanager
def _leaving_nothing(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    try:
        yield
    except PackageError as error:
        raise PackageError(f"{archive.name!r} is refused: {error}") from error.__cause__
    except _BROKEN as error:
        if isinstance(error, OSError) and error.strerror:  # of the disk, not of a checksum
            raise PackageError(
                f"{archive.name!r} cannot be unpacked ({error.strerror}). See that it is there, "
                "that there is room for it, and that no name in it is too long or used twice."
            ) from error
        reason = str(error) or type(error).__name__
        raise PackageError(
            f"{archive.name!r} is broken, or not what its name says ({reason}). Fetch it or build "
            "it again."
        ) from error


class _Names:
    """The names of an archive, each checked before it is written."""

    def __init__(self) -> None:
        self._files: set[PurePosixPath] = set()
        self._all: set[PurePosixPath] = set()
        self._count = 0

    def checked(self, name: str, *, is_folder: bool) -> PurePosixPath:
        path = PurePosixPath(name)
        if len(path.parts) > _MAX_DEPTH:
            raise PackageError(
                f"it has folders that are more than {_MAX_DEPTH} deep. Put its files higher up."
            )
        # A name is made with all the folders above it, and may come many times.
        self._count += 1
        self._all.update((path, *path.parents))
        if max(self._count, len(self._all)) > MAX_MEMBERS:
            raise PackageError(
                f"it has more than {MAX_MEMBERS} files and folders. Leave data out of the package."
            )
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\\" in name
            or "\0" in name
            or re.match(r"[A-Za-z]:", name)
        ):
            raise PackageError(
                f"the name {name!r} leads out of the folder that it is unpacked into. It was not "
                "made by a build tool: do not use it."
            )
        if not is_folder:
            if path in self._files or not path.parts:
                raise PackageError(f"the file {name!r} is in it twice, or has no name.")
            self._files.add(path)
        return path


def _unpack_zip(archive: Path, into: Path) -> None:
    names = _Names()
    left = MAX_UNPACKED
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            # Python cuts the name at a NUL; what stood after it was to be hidden.
            is_folder = member.orig_filename.endswith("/")
            name = names.checked(member.orig_filename, is_folder=is_folder)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_a_file(member.filename)
            if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
                raise PackageError(
                    f"{member.filename!r} is encrypted or compressed by a method that wheels do "
                    "not use. Make it with `python -m build`."
                )
            target = into / name
            if is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with members.open(member) as packed, target.open("xb") as file:
                while chunk := packed.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise _too_large()
                    file.write(chunk)
                if file.tell() != member.file_size:
                    raise PackageError(
                        f"{member.filename!r} is cut off. Fetch it or build it again."
                    )


def _unpack_tar(archive: Path, into: Path) -> str:
    if not hasattr(tarfile, "data_filter"):
        raise PackageError(
            "this Python has no tarfile.data_filter, and cannot unpack it safely. Use Python "
            "3.11.4 or later."
        )
    names = _Names()
    top: str | None = None
    # As a stream, nothing is sought: no header can make it go back, or read the same twice.
    with gzip.open(archive) as packed:
        stream: Any = _Counted(packed)  # all that a stream needs is to be read
        members = tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member)  # noqa: SIM115
        for member in members:
            name = names.checked(member.name, is_folder=member.isdir())
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise _not_a_file(member.name)
            if not name.parts:
                continue
            top = top or name.parts[0]
            if name.parts[0] != top or not (member.isdir() or name.parent.parts):
                raise PackageError(
                    f"an sdist has one folder, and this one has {name.parts[0]!r} beside "
                    f"{top!r}. Make it with `python -m build --sdist`."
                )
            members.extract(member, into, filter="data")
        _read_to_the_end(members)
    if top is None:
        raise PackageError("it is empty. Make it with `python -m build --sdist`.")
    return top


def _read_to_the_end(members: tarfile.TarFile) -> None:
    """See that only padding follows, and have gzip compare its checksum, which comes last."""
    stream: Any = members.fileobj
    while chunk := stream.read(_CHUNK):
        if chunk.strip(b"\0"):
            raise PackageError("something follows its end. Fetch it or build it again.")


class _Counted:
    """What is read of a stream, up to the limit."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise _too_large()
        return chunk


class _Member(tarfile.TarInfo):
    """A member whose header is whole; tarfile takes a broken one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _LONG_HEADERS and not 0 <= member.size <= _MAX_HEADER:
            raise PackageError("a name or header in it is too long. Use shorter names.")
        return member

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the proper end, which is not public
                raise
            raise PackageError(
                f"a header is broken or missing ({error}). Fetch it or build it again."
            ) from error


def _not_a_file(name: str) -> PackageError:
    return PackageError(
        f"{name!r} is a link, a device or another thing that is neither file nor folder. Put the "
        "file itself into the package."
    )


def _too_large() -> PackageError:
    return PackageError(
        f"it unpacks to more than {MAX_UNPACKED / 1024**3:g} GiB. Leave data out of the package."
    )
