"""Is a folder on a network filesystem? SQLite's write-ahead log must not be there.

Its readers and writers share memory through a mapped file, which machines do not share, and file
locks that these filesystems are known to lose: https://www.sqlite.org/wal.html#overview.
"""

from __future__ import annotations

import re
from pathlib import Path

from lume_services.errors import ConfigurationError

__all__ = ["filesystem_type", "refuse_network_filesystem"]

MOUNTINFO = Path("/proc/self/mountinfo")

_NETWORK_TYPES = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs", "gfs2"),
        *("glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2"),
        *("smb2", "smb3", "smbfs", "vboxsf", "wekafs"),
        *("fuse.beegfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.davfs", "fuse.davfs2"),
        *("fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.nfs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs"),
    }
)


def filesystem_type(path: Path, mounts: str) -> str | None:
    """The type of the filesystem that a path is, or would be, on.

    Args:
        path: An absolute path without symbolic links; it need not exist.
        mounts: The text of ``/proc/self/mountinfo``, whose format is in
            https://www.kernel.org/doc/html/latest/filesystems/proc.html (section 3.5).

    Returns:
        The type as the kernel names it; None when no mount holds the path.
    """
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        mount = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields.split()[4]))
        # Of two mounts on one place the later one is what is seen.
        if path.is_relative_to(mount) and (found is None or len(mount.parts) >= found[0]):
            found = len(mount.parts), rest.split()[0]
    return found[1] if found else None


def refuse_network_filesystem(path: Path, setting: str) -> None:
    """Refuse to keep an SQLite database where it would not be safe.

    Args:
        path: The database's file.
        setting: The setting that the path comes from, for the message.

    Raises:
        ConfigurationError: It would be on a network filesystem.
    """
    if not MOUNTINFO.exists():  # not Linux
        return
    kind = filesystem_type(path.resolve(), MOUNTINFO.read_text(errors="surrogateescape"))
    if kind in _NETWORK_TYPES:
        raise ConfigurationError(
            f"{setting}: {path} is on a network filesystem ({kind}), where SQLite can lose data. "
            "Set LUME_HOME to a folder on a local disk, or use a database server "
            "(LUME_RESULTS_DB__URL, LUME_MODEL_DB__URL)."
        )
