"""What is particular to SFTP and to S3, options from variables, and large or many files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time

import pytest
from pydantic import SecretStr

from lume_services.errors import FilesystemError, PathOutsideFilesystemError
from lume_services.files.serializers import TextSerializer
from lume_services.services.files.filesystems import RemoteFilesystem

TEXT = TextSerializer()


@pytest.fixture
def lab(sftp, sftp_url):
    return RemoteFilesystem("lab", sftp_url, sftp.options)


@pytest.fixture
def folder(sftp, sftp_url):
    """The folder of ``lab``, as it is on this machine."""
    return sftp.files / sftp_url.rpartition("/")[2]


@pytest.fixture
def objects(s3, s3_url):
    return RemoteFilesystem("objects", f"{s3_url}/lab", s3.options)


def keys(s3, s3_url):
    bucket = s3_url.removeprefix("s3://")
    found = s3.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    return [entry["Key"] for entry in found]


# Paths and options


@pytest.mark.parametrize("path", ["/a.txt", "/etc/passwd", "//a", "sub/../../a"])
def test_paths_start_at_the_url(path):
    lab = RemoteFilesystem("lab", "sftp://no-such-host.invalid/data")
    with pytest.raises(PathOutsideFilesystemError, match="sftp://no-such-host"):
        lab.file_exists(path)


def test_dots_and_double_slashes_are_taken_out(objects):
    objects.write("sub/../a//./b.txt", "1", TEXT)
    assert objects.list_dir("a/") == ["b.txt"]
    assert objects.read("./a/b.txt", TEXT) == "1"


def test_options_are_read_as_json_where_they_are_no_text(monkeypatch):
    texts = {
        "port": "22",
        "anon": "true",
        "ratio": "0.5",
        "client_kwargs": '{"region_name": "eu-central-1"}',
        "client_keys": '["a", "b"]',
        "endpoint_url": "http://host:9000",
        "secret": "0123",
        "password": "1234",
        "username": "42",
        "token": "true",
    }
    seen = {}

    class Spy(RemoteFilesystem):
        def __init__(self, identifier, url, options=None):
            seen.update(options)

    Spy.from_url("lab", "s3://b", {name: SecretStr(text) for name, text in texts.items()})
    assert seen == {
        **texts,
        "port": 22,
        "anon": True,
        "ratio": 0.5,
        "client_kwargs": {"region_name": "eu-central-1"},
        "client_keys": ["a", "b"],
    }


def test_the_user_and_port_of_the_url(sftp, sftp_url):
    options = {name: value for name, value in sftp.options.items() if name != "username"}
    url = sftp_url.replace("sftp://", f"sftp://{sftp.user}@")
    RemoteFilesystem("lab", url, options).write("a.txt", "1", TEXT)
    assert (sftp.files / sftp_url.rpartition("/")[2] / "a.txt").read_text() == "1"
    # Whoever is named by an option is meant, too.
    url = sftp_url.replace("sftp://", "sftp://nobody@")
    assert RemoteFilesystem("lab", url, sftp.options).list_dir() == ["a.txt"]


def test_without_a_folder_paths_start_where_one_logs_in(sftp, sftp_url):
    start = RemoteFilesystem("lab", f"sftp://{sftp.host}:{sftp.port}", sftp.options)
    root = RemoteFilesystem("lab", f"sftp://{sftp.host}:{sftp.port}/", sftp.options)
    assert "etc/" in root.list_dir()
    assert root.dir_exists("etc")
    name = f"lume-test-{os.getpid()}.txt"
    start.write(name, "1", TEXT)
    try:
        assert name in start.list_dir()
        assert start.read(name, TEXT) == "1"
    finally:
        start.delete(name)


# SFTP


def test_a_replaced_file_keeps_its_permissions(lab, folder):
    lab.write("a.txt", "old", TEXT)
    (folder / "a.txt").chmod(0o640)
    lab.write("a.txt", "new", TEXT)
    assert stat.S_IMODE((folder / "a.txt").stat().st_mode) == 0o640


def test_a_read_only_file_is_not_replaced_on_the_server(lab, folder):
    lab.write("a.txt", "old", TEXT)
    (folder / "a.txt").chmod(0o444)
    with pytest.raises(FilesystemError, match=r"a\.txt.*read-only"):
        lab.write("a.txt", "new", TEXT)
    assert lab.read("a.txt", TEXT) == "old"


def test_links_on_the_server_are_followed(lab, folder):
    (folder / "data").mkdir()
    (folder / "data/a.txt").write_text("1")
    (folder / "link").symlink_to("data")
    (folder / "link.txt").symlink_to("data/a.txt")
    (folder / "broken").symlink_to("nowhere")
    assert lab.list_dir() == ["broken", "data/", "link.txt", "link/"]
    assert lab.read("link/a.txt", TEXT) == lab.read("link.txt", TEXT) == "1"
    lab.delete("link.txt")
    assert lab.list_dir("data") == ["a.txt"]


def test_names_that_are_not_utf_8_are_listed_and_read(lab, folder):
    name = b"\xffa.txt"
    (folder / os.fsdecode(name)).write_text("1")
    assert lab.list_dir() == [os.fsdecode(name)]
    assert lab.read(os.fsdecode(name), TEXT) == "1"


def test_a_server_without_posix_rename(lab, folder, monkeypatch):
    import asyncssh

    async def unsupported(channel, old, new):
        raise asyncssh.SFTPOpUnsupported("POSIX rename not supported")

    monkeypatch.setattr(asyncssh.SFTPClient, "posix_rename", unsupported)
    for text in ("old", "new"):
        lab.write("a.txt", text, TEXT)
        assert lab.read("a.txt", TEXT) == text
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def test_what_killed_writers_left_goes_when_it_is_a_day_old(sftp, sftp_url, lab, folder):
    (folder / "sub").mkdir()
    old, young = folder / "sub/.lume-tmp-0123.txt", folder / "sub/.lume-tmp-4567.txt"
    for path in (old, young):
        path.write_text("half a fi")
    os.utime(old, (0, time.time() - 25 * 3600))
    assert lab.list_dir("sub") == []
    lab.write("sub/a.txt", "1", TEXT)
    assert sorted(path.name for path in (folder / "sub").iterdir()) == [young.name, "a.txt"]


def test_a_folder_that_may_not_be_written_to_says_so(lab, folder):
    if os.geteuid() == 0:
        subprocess.run(["chattr", "+i", folder], check=False, capture_output=True)
        try:
            (folder / "probe").touch()
        except OSError:
            pass
        else:
            (folder / "probe").unlink()
            pytest.skip("root may write to everything here")
    else:
        folder.chmod(0o500)
    try:
        with pytest.raises(FilesystemError, match=r"(?i)a\.txt.*permission|not permitted|failure"):
            lab.write("a.txt", "1", TEXT)
    finally:
        subprocess.run(["chattr", "-i", folder], check=False, capture_output=True)
        folder.chmod(0o700)


# S3


def test_objects_have_the_keys_that_one_expects(objects, s3, s3_url):
    objects.write("runs/a.txt", "1", TEXT)
    assert keys(s3, s3_url) == ["lab/runs/a.txt"]
    objects.create_dir("empty/folder")
    objects.create_dir("runs")
    assert keys(s3, s3_url) == ["lab/empty/folder/", "lab/runs/a.txt"]
    assert objects.list_dir("empty") == ["folder/"]
    assert objects.list_dir("empty/folder") == []
    assert objects.dir_exists("empty")


def test_prefixes_that_only_begin_alike_are_other_folders(objects, s3, s3_url):
    s3.client().put_object(Bucket=s3_url.removeprefix("s3://"), Key="lab-2/a.txt", Body=b"1")
    assert objects.list_dir() == []
    objects.write("run/a.txt", "1", TEXT)
    assert not objects.dir_exists("ru")
    assert objects.list_dir() == ["run/"]


def test_uploads_that_were_never_completed_are_ended(objects, s3, s3_url):
    bucket, client = s3_url.removeprefix("s3://"), s3.client()
    client.create_multipart_upload(Bucket=bucket, Key="lab/runs/a.bin")  # moto: begun in 2010
    client.create_multipart_upload(Bucket=bucket, Key="other/a.bin")
    objects.write("runs/large.txt", "x" * 20_000_000, TEXT)
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["other/a.bin"]
    assert len(objects.read("runs/large.txt", TEXT)) == 20_000_000


@pytest.mark.slow
def test_more_than_a_thousand_files_in_a_folder(objects, s3, s3_url, lab, folder):
    client = s3.client()
    names = [f"{number:05}.txt" for number in range(1_050)]
    for name in names:
        client.put_object(Bucket=s3_url.removeprefix("s3://"), Key=f"lab/many/{name}", Body=b"")
        (folder / name).touch()
    assert objects.list_dir("many") == names
    assert lab.list_dir() == names


# Large files


LARGE = """
import json, os, re, sys
from pathlib import Path
from lume_services.services.files.filesystems import RemoteFilesystem

lab = RemoteFilesystem("lab", *json.load(sys.stdin))
block = os.urandom(1_000_000)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

with lab.writing("small.bin") as path:
    path.write_bytes(block)
with lab.reading("small.bin") as path:
    assert path.read_bytes() == block
before = peak()
with lab.writing("large.bin") as path:
    with path.open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(8, "big") + block[8:])
sent = peak()
with lab.reading("large.bin") as path:
    assert path.stat().st_size == 200_000_000
    with path.open("rb") as file:
        for number in range(200):
            assert file.read(1_000_000) == number.to_bytes(8, "big") + block[8:]
print(json.dumps({"before": before, "sending": sent - before, "reading": peak() - sent}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_large_files_are_streamed(kind, request, python):
    server, url = request.getfixturevalue(kind), request.getfixturevalue(f"{kind}_url")
    done = subprocess.run(
        [python, "-c", LARGE],
        input=json.dumps([url, server.options]),
        check=True,
        capture_output=True,
        text=True,
    )
    used = json.loads(done.stdout)
    print(kind, {name: f"{mib:.0f} MiB" for name, mib in used.items()})
    assert used["sending"] + used["reading"] < 150, f"of 200 MB: {used}"
