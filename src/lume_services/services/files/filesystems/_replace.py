"""Replacing a local file as a whole, so that nobody ever sees a part of it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from lume_services.errors import FilesystemError

__all__ = ["TEMPORARY_PREFIX", "Replacement"]

TEMPORARY_PREFIX = ".lume-tmp-"
"""How names of unfinished files begin; one left over belongs to a writer that was killed."""


class Replacement:
    """A new file beside the one that it is to replace.

    It keeps the permissions, and as far as allowed the owner, of the file it replaces; otherwise
    the umask decides.
    """

    def __init__(self, target: Path) -> None:
        """Make the empty new file.

        Args:
            target: The file to replace; need not exist. Not a symbolic link.

        Raises:
            OSError: The new file cannot be made, or the target is read-only.
            FilesystemError: What is there is not an ordinary file.
        """
        self._target = target
        self._old = _status(target)
        self.path = target.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{target.suffix}")
        """The file to write to: in the same folder, and of the same suffix."""
        # Nobody else may read the new content of a file that was private, not for a moment.
        mode = 0o666 if self._old is None else 0o600
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))

    def commit(self) -> None:
        """Put the new file, flushed to disk, in the place of the target; or discard it.

        Raises:
            OSError: The target cannot be replaced.
            FilesystemError: The target cannot be replaced, being a mount of its own.
        """
        try:
            if self._old is not None:
                with suppress(PermissionError):
                    os.chown(self.path, self._old.st_uid, self._old.st_gid)
                self.path.chmod(stat.S_IMODE(self._old.st_mode))
            _flush(self.path)
            _rename(self.path, self._target)
        except BaseException:
            self.discard()
            raise
        _flush_folder(self._target.parent)

    def discard(self) -> None:
        """Remove the new file; the target stays as it was."""
        self.path.unlink(missing_ok=True)


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


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise FilesystemError(
                f"{target} is mounted as a single file, which cannot be replaced as a whole from "
                "here. Mount the folder that it is in."
            ) from error
        raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    try:
        _flush(folder)
    except OSError as error:
        # Some network filesystems have no such call for folders; their rename is durable anyway.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
