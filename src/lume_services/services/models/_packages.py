"""The archives of packages in the database.

Each is kept under the sha256 of its bytes, in parts. Every function is given a connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import file_digest, sha256
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, select

from lume_services.errors import PackageError
from lume_services.services.models.db.schema import PACKAGE, PACKAGE_PART, check_text

__all__ = ["load", "store"]

_PART: Final = 1 << 20
"""Bytes. MariaDB takes 16 MiB in one statement by default, MySQL 64."""


def store(connection: Connection, archive: Path) -> str:
    """Store an archive, unless it is there.

    Args:
        connection: One in a transaction that writes.
        archive: The file.

    Returns:
        Its sha256 in lower-case hex.
    """
    with archive.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    row = {"sha256": digest, "filename": archive.name}
    check_text(PACKAGE, row)
    if connection.scalar(select(PACKAGE.c.sha256).where(PACKAGE.c.sha256 == digest)) is None:
        connection.execute(insert(PACKAGE), row)
        for number, data in enumerate(_parts(archive)):
            part = {"sha256": digest, "number": number, "data": data}
            connection.execute(insert(PACKAGE_PART), part)
    return digest


def load(connection: Connection, digest: str, folder: Path) -> Path:
    """Write an archive into a folder, under its own name.

    Raises:
        PackageError: The registry does not have it, or its bytes are not those it is named after.
    """
    name = connection.scalar(select(PACKAGE.c.filename).where(PACKAGE.c.sha256 == digest))
    if name is None:
        raise PackageError(f"The registry has no package whose sha256 is {digest}.")
    archive = folder / Path(name).name
    found = sha256()
    with archive.open("wb") as file:
        # One by one, as drivers keep a whole answer in memory.
        for number in count():
            part = select(PACKAGE_PART.c.data).where(
                PACKAGE_PART.c.sha256 == digest, PACKAGE_PART.c.number == number
            )
            data = connection.scalar(part)
            if data is None:
                break
            found.update(data)
            file.write(data)
    if found.hexdigest() != digest:
        archive.unlink()
        raise PackageError(
            f"The package {name} in the registry is damaged: its sha256 is {found.hexdigest()}, "
            f"and {digest} was stored. Deploy it under a new version."
        )
    return archive


def _parts(archive: Path) -> Iterator[bytes]:
    with archive.open("rb") as file:
        while data := file.read(_PART):
            yield data
