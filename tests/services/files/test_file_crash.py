"""A writer that is killed leaves the old file or the new one, never a part of one."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import signal
import subprocess
import threading
import time

import pytest

from lume_services.files.serializers import TextSerializer
from lume_services.services.files.filesystems import LocalFilesystem, RemoteFilesystem

WRITER = """
import sys, itertools
from lume_services.files.serializers import TextSerializer
from lume_services.services.files.filesystems import LocalFilesystem

class InParts(TextSerializer):
    def serialize(self, filename, text):
        with open(filename, "w") as file:
            for start in range(0, len(text), 1000):
                file.write(text[start:start + 1000])
                file.flush()

for number in itertools.count():
    LocalFilesystem().write(sys.argv[1], str(number % 10) * 300_000, InParts())
"""


@pytest.mark.slow
def test_kill_minus_nine(tmp_path, python):
    path = tmp_path / "a.txt"
    filesystem = LocalFilesystem()
    delay = random.Random(1)
    strays = 0
    for _ in range(20):
        path.unlink(missing_ok=True)
        with subprocess.Popen([python, "-c", WRITER, str(path)]) as writer:
            deadline = time.monotonic() + 30
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(delay.uniform(0, 0.05))
            writer.send_signal(signal.SIGKILL)
        text = filesystem.read(str(path), TextSerializer())
        assert len(text) == 300_000
        assert set(text) == {text[0]}, "a mixture of two files"
        assert filesystem.list_dir(str(tmp_path)) == ["a.txt"], "unfinished files are not listed"
        strays = sum(name.name.startswith(".lume-tmp-") for name in tmp_path.iterdir())
    assert strays, "no writer was killed while it wrote: this test proves nothing"
    assert {name.name for name in tmp_path.iterdir() if name.name[:10] != ".lume-tmp-"} == {"a.txt"}


def write_for_ever(url, options, written):
    filesystem = RemoteFilesystem("lab", url, options)
    for number in itertools.count():
        filesystem.write("a.txt", str(number % 10) * 4_000_000, TextSerializer())
        written.set()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_kill_minus_nine_of_a_writer_to_a_server(kind, request):
    """While somebody reads all the time: old or new, before the kill, at it, and after it."""
    server, url = request.getfixturevalue(kind), request.getfixturevalue(f"{kind}_url")
    filesystem = RemoteFilesystem("lab", url, server.options)
    filesystem.write("a.txt", "x" * 4_000_000, TextSerializer())
    done = threading.Event()
    seen = []

    def read():
        while not done.is_set():
            text = filesystem.read("a.txt", TextSerializer())
            seen.append((len(text), set(text)))

    reader = threading.Thread(target=read)
    reader.start()
    delay = random.Random(1)
    processes = multiprocessing.get_context("forkserver")  # which has imported everything before
    processes.set_forkserver_preload([RemoteFilesystem.__module__, "asyncssh", "s3fs"])
    try:
        for _ in range(20):
            written = processes.Event()
            writer = processes.Process(
                target=write_for_ever, args=(url, server.options, written), daemon=True
            )
            writer.start()
            assert written.wait(60)
            time.sleep(delay.uniform(0, 0.3))
            writer.kill()
            writer.join()
            assert filesystem.list_dir() == ["a.txt"], "unfinished files are not listed"
    finally:
        done.set()
        reader.join()
    print(kind, len(seen), "reads,", len({min(content) for _, content in seen}), "contents")
    assert {length for length, _ in seen} == {4_000_000}
    assert all(len(content) == 1 for _, content in seen), "a mixture of two files"
    assert len({min(content) for _, content in seen}) > 1, (
        "nothing was written: this proves nothing"
    )
    if kind == "sftp":
        folder = server.files / url.rpartition("/")[2]
        assert any(path.name.startswith(".lume-tmp-") for path in folder.iterdir()), (
            "no writer was killed while it wrote: this test proves nothing"
        )
