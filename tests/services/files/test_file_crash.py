"""A writer that is killed leaves the old file or the new one, never a part of one."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lume_services.files.serializers import TextSerializer
from lume_services.services.files.filesystems import LocalFilesystem, RemoteFilesystem

TEXT = TextSerializer()


class InParts(TextSerializer):
    def serialize(self, filename, text):
        with Path(filename).open("w") as file:
            for start in range(0, len(text), 1000):
                file.write(text[start : start + 1000])
                file.flush()


def write_here_for_ever(path):
    for number in itertools.count():
        LocalFilesystem().write(path, str(number % 10) * 300_000, InParts())


@pytest.fixture(scope="module")
def processes():
    """Makes writers from a process that has imported everything."""
    processes = multiprocessing.get_context("forkserver")
    ours = ["lume_services.files.serializers", RemoteFilesystem.__module__]
    processes.set_forkserver_preload([*ours, "asyncssh", "s3fs", "pytest"])
    return processes


@pytest.mark.slow
def test_kill_minus_nine(tmp_path, processes):
    path = tmp_path / "a.txt"
    filesystem = LocalFilesystem()
    delay = random.Random(1)
    strays = 0
    for _ in range(20):
        path.unlink(missing_ok=True)
        writer = processes.Process(target=write_here_for_ever, args=(str(path),), daemon=True)
        writer.start()
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(delay.uniform(0, 0.05))
        writer.kill()
        writer.join()
        text = filesystem.read(str(path), TEXT)
        assert len(text) == 300_000
        assert set(text) == {text[0]}, "a mixture of two files"
        assert filesystem.list_dir(str(tmp_path)) == ["a.txt"], "unfinished files are not listed"
        strays = sum(name.name.startswith(".lume-tmp-") for name in tmp_path.iterdir())
    assert strays, "no writer was killed while it wrote: this test proves nothing"
    assert {name.name for name in tmp_path.iterdir() if name.name[:10] != ".lume-tmp-"} == {"a.txt"}


LENGTH = 2_000_000


def write_for_ever(url, options, written, folder):
    tempfile.tempdir = folder  # where the copies of those that are killed stay
    filesystem = RemoteFilesystem("lab", url, options)
    for number in itertools.count():
        filesystem.write("a.txt", str(number % 10) * LENGTH, TEXT)
        written.set()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_kill_minus_nine_of_a_writer_to_a_server(kind, request, processes, tmp_path):
    """While somebody reads all the time: old or new, before the kill, at it, and after it."""
    server, url = request.getfixturevalue(kind), request.getfixturevalue(f"{kind}_url")
    filesystem = RemoteFilesystem("lab", url, server.options)
    filesystem.write("a.txt", "x" * LENGTH, TEXT)
    done = threading.Event()
    seen = []

    def read():
        while not done.wait(0.02):  # or the server would have time for nothing else
            text = filesystem.read("a.txt", TEXT)
            seen.append(text[0] if text == text[0] * LENGTH else "a part, or a mixture")

    reader = threading.Thread(target=read)
    reader.start()
    delay = random.Random(1)
    arguments = {"target": write_for_ever, "daemon": True}
    try:
        for _ in range(10):  # two writers at a time
            written = [processes.Event() for _ in range(2)]
            writers = [
                processes.Process(args=(url, server.options, event, tmp_path), **arguments)
                for event in written
            ]
            for writer in writers:
                writer.start()
            assert all(event.wait(60) for event in written)
            for writer in writers:
                time.sleep(delay.uniform(0, 0.1))
                writer.kill()
                writer.join()
            assert filesystem.list_dir() == ["a.txt"], "unfinished files are not listed"
    finally:
        done.set()
        reader.join()
    print(kind, len(seen), "reads,", len(set(seen)), "contents")
    assert "a part, or a mixture" not in seen
    assert len(set(seen)) > 1, "nothing was written: this proves nothing"
    if kind == "sftp":
        folder = server.files / url.rpartition("/")[2]
        assert any(path.name.startswith(".lume-tmp-") for path in folder.iterdir()), (
            "no writer was killed while it wrote: this test proves nothing"
        )
