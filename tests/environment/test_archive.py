"""Hostile and broken archives are refused, and nothing of them is left anywhere."""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lume_services.environment import archive
from lume_services.environment.archive import unpack
from lume_services.errors import PackageError
from tests.environment.archives import add, header, raw_tar, sdist, tar_of, wheel, zip_of

TOP = "my_model-1.2.0"
GOOD = (f"{TOP}/good.txt", {"data": b"good"})
OUT = "leads out of the folder"
NOT_A_FILE = "neither file nor folder"
LINK = {"type": tarfile.SYMTYPE, "data": b""}
HARD = {"type": tarfile.LNKTYPE, "data": b""}


def tar_file(name: str) -> bytes:
    return tar_of(GOOD, (name, {"data": b"bad"}))


def zip_file(name: str) -> bytes:
    return zip_of(("good.txt", b"good", {}), (name, b"bad", {}))


def zip_kind(kind: int, data: bytes = b"/etc/passwd") -> bytes:
    return zip_of(("good.txt", b"good", {}), ("bad", data, {"external_attr": kind << 16}))


def declared(size: int) -> bytes:
    """A wheel that says of a file of 1 MiB that it has another size."""
    return patched(zip_of(("bad", bytes(1 << 20), {})), 22, size.to_bytes(4, "little"))


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """Change both headers of a wheel's one file."""
    packed = bytearray(data)
    # The one in the directory has two bytes more before what both have.
    for signature, more in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        at = packed.index(signature) + offset + more
        packed[at : at + len(value)] = value
    return bytes(packed)


def pax(**records: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        add(tar, GOOD[0], b"good")
        add(tar, f"{TOP}/bad", b"bad", pax_headers=records)
    return packed.getvalue()


WHOLE_TAR = tar_of(GOOD, (f"{TOP}/more", {"data": os.urandom(200_000)}))
WHOLE_ZIP = zip_of(("good.txt", b"good", {}), ("more", os.urandom(200_000), {}))
PLAIN_TAR = gzip.decompress(tar_of(GOOD, (f"{TOP}/more", {"data": b"more"})))

HOSTILE_SDISTS: dict[str, tuple[bytes, str]] = {
    "parent": (tar_file("../evil"), OUT),
    "parent inside": (tar_file(f"{TOP}/a/../../../evil"), OUT),
    "parent by pax": (pax(path="../evil"), OUT),
    "absolute": (tar_file("/tmp/lume-evil"), OUT),
    "absolute by pax": (pax(path="/tmp/lume-evil"), OUT),
    "drive": (tar_file("C:/evil"), OUT),
    "drive with backslash": (tar_file("C:\\evil"), OUT),
    "backslashes": (tar_file(f"{TOP}\\..\\..\\evil"), OUT),
    "NUL": (pax(path=f"{TOP}/a\0b"), OUT),
    "symlink out": (tar_of(GOOD, (f"{TOP}/link", {**LINK, "linkname": "../../evil"})), NOT_A_FILE),
    "symlink absolute": (
        tar_of(GOOD, (f"{TOP}/link", {**LINK, "linkname": "/etc/passwd"})),
        NOT_A_FILE,
    ),
    "symlink inside": (tar_of(GOOD, (f"{TOP}/link", {**LINK, "linkname": "good.txt"})), NOT_A_FILE),
    "folder that is a symlink": (
        tar_of(
            GOOD,
            (f"{TOP}/link", {**LINK, "linkname": "../.."}),
            (f"{TOP}/link/evil", {"data": b"bad"}),
        ),
        NOT_A_FILE,
    ),
    "top that is a symlink": (
        tar_of((TOP, {**LINK, "linkname": ".."}), (f"{TOP}/evil", {"data": b"bad"})),
        NOT_A_FILE,
    ),
    "overwrite through a symlink": (
        tar_of(
            GOOD,
            (f"{TOP}/link", {**LINK, "linkname": "../../evil"}),
            (f"{TOP}/link", {"data": b"bad"}),
        ),
        NOT_A_FILE,
    ),
    "hard link out": (
        tar_of(GOOD, (f"{TOP}/link", {**HARD, "linkname": "../../secret"})),
        NOT_A_FILE,
    ),
    "hard link inside": (
        tar_of(GOOD, (f"{TOP}/link", {**HARD, "linkname": f"{TOP}/good.txt"})),
        NOT_A_FILE,
    ),
    "fifo": (tar_of(GOOD, (f"{TOP}/pipe", {"type": tarfile.FIFOTYPE, "data": b""})), NOT_A_FILE),
    "character device": (
        tar_of(GOOD, (f"{TOP}/null", {"type": tarfile.CHRTYPE, "data": b"", "devmajor": 1})),
        NOT_A_FILE,
    ),
    "block device": (
        tar_of(GOOD, (f"{TOP}/disk", {"type": tarfile.BLKTYPE, "data": b"", "devmajor": 8})),
        NOT_A_FILE,
    ),
    "sparse file": (
        pax(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50), "GNU.sparse.major": "0"}),
        NOT_A_FILE,
    ),
    "the same file twice": (tar_of(GOOD, GOOD), "twice"),
    "the same file by another name": (tar_of(GOOD, (f"{TOP}/./good.txt", {})), "twice"),
    "file and folder of one name": (tar_of(GOOD, (f"{TOP}/good.txt/more", {})), "used twice"),
    "two folders": (tar_of(GOOD, ("other-1.0/file", {})), "an sdist has one folder"),
    "file at the top": (tar_of(("file", {})), "an sdist has one folder"),
    "no member": (tar_of(), "is empty"),
    "bomb": (tar_of(*((f"{TOP}/{n}", {"data": bytes(1 << 20)}) for n in range(5))), "GiB"),
    "bomb of one file": (tar_of((f"{TOP}/zeros", {"data": bytes(5 << 20)})), "GiB"),
    "bomb behind the end": (gzip.compress(PLAIN_TAR + bytes(5 << 20)), "GiB"),
    "many members": (tar_of(*((f"{TOP}/{n}", {}) for n in range(60))), "more than 50 files"),
    "many folders on the way": (
        tar_of(*((f"{TOP}/{f'{n}/' * 20}x", {}) for n in range(4))),
        "more than 50 files",
    ),
    "a folder many times": (
        tar_of(*[(TOP, {"type": tarfile.DIRTYPE, "data": b""})] * 60),
        "more than 50 files",
    ),
    "deep": (
        tar_of((f"{TOP}/{'a/' * 900}x", {}), (f"{TOP}/{'a/' * 1800}x", {})),
        "more than 50 deep",
    ),
    "long header": (
        raw_tar(header("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=1 << 20)),
        "too long",
    ),
    "long pax header": (raw_tar(header("x", type=tarfile.XHDTYPE, size=1 << 30)), "too long"),
    "endless headers": (
        raw_tar(*[header("x", type=tarfile.GNUTYPE_LONGNAME, size=2) + b"y\0" + bytes(510)] * 2000),
        "broken",
    ),
    "negative size": (raw_tar(header(f"{TOP}/x", size=-512)), "broken|GiB"),
    "name that is too long": (tar_file(f"{TOP}/{'n' * 300}"), "cannot be unpacked"),
    "larger than it is": (raw_tar(header(f"{TOP}/x", size=9000), bytes(512), end=b""), "broken"),
    "truncated": (WHOLE_TAR[: len(WHOLE_TAR) // 2], "broken"),
    "truncated in its checksum": (WHOLE_TAR[:-6], "broken"),
    "truncated before it was compressed": (gzip.compress(PLAIN_TAR[:1024]), "header is broken"),
    "truncated in a header": (gzip.compress(PLAIN_TAR[:1300]), "header is broken"),
    "broken header": (
        gzip.compress(PLAIN_TAR[:1030] + b"?" + PLAIN_TAR[1031:]),
        "header is broken",
    ),
    "flipped bit": (
        WHOLE_TAR[:50_000] + bytes([WHOLE_TAR[50_000] ^ 1]) + WHOLE_TAR[50_001:],
        "broken",
    ),
    "something behind its end": (gzip.compress(PLAIN_TAR + b"more"), "follows its end"),
    "something behind gzip's end": (WHOLE_TAR + b"more", "broken"),
    "text": (b"<html>404 Not Found</html>", "broken"),
    "gzip of text": (gzip.compress(b"text" * 1000), "header is broken"),
    "nothing": (b"", "broken"),
    "a zip": (WHOLE_ZIP, "broken"),
}
HOSTILE_WHEELS: dict[str, tuple[bytes, str]] = {
    "parent": (zip_file("../evil"), OUT),
    "parent inside": (zip_file("a/../../evil"), OUT),
    "absolute": (zip_file("/tmp/lume-evil"), OUT),
    "drive": (zip_file("C:/evil"), OUT),
    "backslashes": (zip_file("..\\evil"), OUT),
    "NUL": (zip_file("a.txt\0/../../evil"), OUT),
    "name of nothing but a NUL": (zip_file("\0"), OUT),
    "name of the folder itself": (zip_file("."), "twice, or has no name"),
    "symlink": (zip_kind(stat.S_IFLNK | 0o777), NOT_A_FILE),
    "fifo": (zip_kind(stat.S_IFIFO | 0o644), NOT_A_FILE),
    "device": (zip_kind(stat.S_IFCHR | 0o644), NOT_A_FILE),
    "the same file twice": (zip_file("good.txt"), "twice"),
    "the same file by another name": (zip_file("./good.txt"), "twice"),
    "file and folder of one name": (zip_file("good.txt/more"), "used twice"),
    "encrypted": (patched(zip_of(("bad", b"x", {})), 6, b"\1"), "encrypted"),
    "bzip2": (zip_of(("bad", b"x", {"compress_type": zipfile.ZIP_BZIP2})), "method"),
    "lzma": (zip_of(("bad", b"x", {"compress_type": zipfile.ZIP_LZMA})), "method"),
    "bomb": (zip_of(*((f"{n}", bytes(1 << 20), {}) for n in range(5))), "GiB"),
    "bomb of one file": (zip_of(("zeros", bytes(5 << 20), {})), "GiB"),
    "smaller than it is": (declared(10), "broken"),
    "larger than it is": (declared(1 << 30), "cut off"),
    "many members": (zip_of(*((f"{n}", b"", {}) for n in range(60))), "more than 50 files"),
    "many folders on the way": (
        zip_of(*((f"{f'{n}/' * 20}x", b"", {}) for n in range(4))),
        "more than 50 files",
    ),
    "deep": (zip_of(("a/" * 60, b"", {})), "more than 50 deep"),
    "truncated": (WHOLE_ZIP[: len(WHOLE_ZIP) // 2], "broken"),
    "flipped bit": (
        WHOLE_ZIP[:50_000] + bytes([WHOLE_ZIP[50_000] ^ 1]) + WHOLE_ZIP[50_001:],
        "broken",
    ),
    "text": (b"<html>404 Not Found</html>", "broken"),
    "nothing": (b"", "broken"),
    "an sdist": (WHOLE_TAR, "broken"),
}
CASES = [
    *((name, f"{TOP}.tar.gz", *case) for name, case in HOSTILE_SDISTS.items()),
    *((name, f"{TOP}-py3-none-any.whl", *case) for name, case in HOSTILE_WHEELS.items()),
]


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can go over."""
    monkeypatch.setattr(archive, "MAX_UNPACKED", 4 << 20)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 50)


def everything(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.usefixtures("low_limits")
@pytest.mark.parametrize(
    ("filename", "data", "message"),
    [case[1:] for case in CASES],
    ids=[f"{case[0]} ({case[1][-6:]})" for case in CASES],
)
def test_a_hostile_or_broken_archive_is_refused_and_leaves_nothing(
    filename: str, data: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / filename).write_bytes(data)
    into = tmp_path / "a" / "into"
    into.mkdir(parents=True)
    before = everything(tmp_path)
    with pytest.raises(PackageError) as caught:
        unpack(tmp_path / filename, into)
    assert re.search(message, str(caught.value)), caught.value
    assert filename in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before
    assert not Path("/tmp/lume-evil").exists()


def test_the_limits_are_those_of_the_documentation() -> None:
    assert archive.MAX_UNPACKED == 2 * 1024**3
    assert archive.MAX_MEMBERS == 20_000


def test_an_sdist_gives_its_folder(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    top = unpack(sdist(tmp_path), tmp_path / "into")
    assert top == tmp_path / "into" / TOP
    assert (top / "my_model" / "model.py").read_text() == "class MyModel:\n    pass\n"


def test_a_wheel_is_unpacked_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    top = unpack(wheel(tmp_path), tmp_path / "into")
    assert top == tmp_path / "into"
    assert (top / "my_model" / "model.py").read_text() == "class MyModel:\n    pass\n"


def test_a_folder_may_be_named_twice(tmp_path: Path) -> None:
    folder = (TOP, {"type": tarfile.DIRTYPE, "data": b"", "mode": 0o755})
    (tmp_path / f"{TOP}.tar.gz").write_bytes(tar_of(folder, folder, GOOD))
    (tmp_path / "into").mkdir()
    assert (unpack(tmp_path / f"{TOP}.tar.gz", tmp_path / "into") / "good.txt").exists()


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1777, 0o7777])
def test_special_bits_and_leave_to_write_for_others_are_dropped(mode: int, tmp_path: Path) -> None:
    (tmp_path / f"{TOP}.tar.gz").write_bytes(tar_of((f"{TOP}/tool", {"mode": mode})))
    (tmp_path / "into").mkdir()
    top = unpack(tmp_path / f"{TOP}.tar.gz", tmp_path / "into")
    assert stat.S_IMODE((top / "tool").stat().st_mode) == 0o755
    data = zip_of(("tool", b"x", {"external_attr": (stat.S_IFREG | mode) << 16}))
    (tmp_path / f"{TOP}-py3-none-any.whl").write_bytes(data)
    (tmp_path / "other").mkdir()
    unpack(tmp_path / f"{TOP}-py3-none-any.whl", tmp_path / "other")
    assert stat.S_IMODE((tmp_path / "other" / "tool").stat().st_mode) & 0o7022 == 0


@pytest.mark.parametrize("name", ["model.zip", "model.tar", "model.tgz", "model.egg", "model"])
def test_another_kind_of_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WHOLE_TAR)
    (tmp_path / "into").mkdir()
    with pytest.raises(PackageError, match=r"neither an sdist \(.tar.gz\) nor a wheel \(.whl\)"):
        unpack(tmp_path / name, tmp_path / "into")


def test_what_is_in_a_folder_already_is_left_alone(tmp_path: Path) -> None:
    path = sdist(tmp_path)
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "mine").write_text("mine")
    with pytest.raises(PackageError, match="is not empty"):
        unpack(path, tmp_path / "into")
    assert everything(tmp_path / "into") == {"mine": b"mine"}


def test_a_python_without_the_data_filter_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter")
    (tmp_path / "into").mkdir()
    with pytest.raises(PackageError, match=r"Use Python 3\.11\.4 or later"):
        unpack(sdist(tmp_path), tmp_path / "into")


def test_a_disk_that_is_full_is_not_blamed_on_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "makefile", full)
    (tmp_path / "into").mkdir()
    with pytest.raises(PackageError, match=r"cannot be unpacked \(No space left on device\)"):
        unpack(sdist(tmp_path), tmp_path / "into")
    assert everything(tmp_path / "into") == {}
