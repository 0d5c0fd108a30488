"""Files that appear as a whole, and are on the disk when they do."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lume_services.errors import FilesystemError

__all__ = ["TEMPORARY_PREFIX", "make_folder", "put_in_place", "replacing", "sync_folder"]

TEMPORARY_PREFIX = ".lume-tmp-"
"""How names of unfinished files begin; one left over belongs to a writer that was killed."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Replace a file, or make a new one, when the context is left.

    Readers see the old file or the new one. It keeps the permissions, and as far as allowed the
    owner, of the file it replaces; otherwise the umask decides.

    Args:
        target: The file; its folder exists. A symbolic link would itself be replaced.

    Yields:
        An empty file to write to, in the same folder and of the same suffix. An exception that
        leaves the context removes it, and the target stays as it was.

    Raises:
        OSError: The new file cannot be made or put in place, or the target is read-only.
        FilesystemError: What is there is not an ordinary file, or is a mount of its own.
    """
    old = _status(target)
    new = target.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{target.suffix}")
    # Nobody else may read the new content of a file that was private, not for a moment.
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if old is None else 0o600))
    try:
        yield new
        if old is not None:
            with suppress(PermissionError):
                os.chown(new, old.st_uid, old.st_gid)
            new.chmod(stat.S_IMODE(old.st_mode))
        _sync(new)
        put_in_place(new, target)
    finally:
        new.unlink(missing_ok=True)


def put_in_place(new: Path, target: Path) -> None:
    """Give a file that is on the disk its name, durably.

    Raises:
        OSError: The target cannot be replaced.
        FilesystemError: The target is a mount of its own.
    """
    try:
        new.replace(target)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise FilesystemError(
                f"{target} is mounted as a single file, which cannot be replaced as a whole from "
                "here. Mount the folder that it is in."
            ) from error
        raise
    sync_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, durably; nothing happens when it is there.

    Raises:
        OSError: It cannot be made.
    """
    missing = []
    while not folder.is_dir() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_folder(new.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    try:
        _sync(folder)
    except OSError as error:
        # Some network filesystems have no such call for folders; their rename is durable anyway.
        # And a folder may be writable that may not be read; then there is nothing to be done.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise


def _status(target: Path) -> os.stat_result | None:
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise FilesystemError(f"{target} is not an ordinary file and is not replaced.")
    if not os.access(target, os.W_OK):
        # Renaming needs leave for the folder only; a file made read-only is meant to stay.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    return status


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
