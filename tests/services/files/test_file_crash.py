"""A writer that is killed leaves the old file or the new one, never a part of one."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest

from lume_services.files.serializers import TextSerializer
from lume_services.services.files.filesystems import LocalFilesystem

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
