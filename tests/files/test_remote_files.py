"""File types on servers; a record means the same file to all who have the same variables."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest

from lume_services.config import configure
from lume_services.errors import MissingFileError
from lume_services.files import HDF5File, ImageFile, TextFile, YAMLFile
from lume_services.results import Result


@pytest.fixture(params=["sftp", "s3"])
def lab(request, monkeypatch):
    """The identifier of a filesystem on a server, configured by variables."""
    server = request.getfixturevalue(request.param)
    monkeypatch.setenv(
        "LUME_FILESYSTEMS__LAB__URL", request.getfixturevalue(f"{request.param}_url")
    )
    for name, value in server.options.items():
        monkeypatch.setenv(f"LUME_FILESYSTEMS__LAB__OPTIONS__{name.upper()}", value)
    configure()
    return "lab"


def test_every_file_type_reads_what_it_wrote(lab):
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    cases = {
        TextFile: ("notes.txt", "QUAD:LI21:201 was off\n"),
        YAMLFile: ("settings.yml", {"QUAD:LI21:201": 3.1}),
        HDF5File: ("runs/2026/orbit.h5", {"x": np.linspace(0, 1, 5), "name": "ring"}),
        ImageFile: ("plots/screen.png", image),
    }
    for file_type, (name, obj) in cases.items():
        file_type(filename=name, filesystem_identifier=lab).write(obj)
        read = file_type(filename=name, filesystem_identifier=lab).read()
        if file_type is HDF5File:
            assert read["name"] == "ring"
            assert np.array_equal(read["x"], obj["x"])
        else:
            assert np.array_equal(np.asarray(read), np.asarray(obj))


READER = """
from lume_services.config import configure
from lume_services.results import Result

configure()
result = Result.load_from_query({})
file = result.outputs["orbit"]
print(file.filesystem_identifier, file.filename, file.read()["x"].sum())
"""


def test_the_record_in_a_result_is_read_by_another_process(lab, python):
    file = HDF5File(filename="runs/orbit.h5", filesystem_identifier=lab)
    file.write({"x": np.arange(5.0)})
    result = Result(flow_id="f", project_name="local", inputs={"k": 1.0}, outputs={"orbit": file})
    result.insert()
    done = subprocess.run(
        [python, "-c", READER], env=os.environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["lab", "runs/orbit.h5", "10.0"]


def test_a_missing_file_is_named(lab):
    with pytest.raises(MissingFileError, match=r"Cannot read 'a\.txt' on filesystem 'lab'"):
        TextFile(filename="a.txt", filesystem_identifier=lab).read()


def test_commands_take_the_identifier(lab, run):
    TextFile(filename="notes/a.txt", filesystem_identifier=lab).write("1")
    assert run("files", "list", "--filesystem", lab, "--json").json == ["notes/"]
    assert run("files", "list", "notes", "--filesystem", lab, "--json").json == ["a.txt"]
    rows = run("files", "filesystems", "--json").json
    assert {row["identifier"]: row["where"] for row in rows}[lab] == os.environ[
        "LUME_FILESYSTEMS__LAB__URL"
    ]


def test_mistakes_in_a_command_are_one_message(lab, run, monkeypatch):
    done = run("files", "list", "nowhere", "--filesystem", lab)
    assert (done.code, "nowhere" in done.err) == (2, True)
    url = os.environ["LUME_FILESYSTEMS__LAB__URL"]
    wrong = {"sftp": "LUME_FILESYSTEMS__LAB__OPTIONS__USERNAME", "s3": "LUME_FILESYSTEMS__LAB__URL"}
    scheme = url.partition(":")[0]
    monkeypatch.setenv(wrong[scheme], {"sftp": "nobody-here", "s3": "s3://no-such-bucket"}[scheme])
    done = run("files", "list", "--filesystem", lab)
    assert done.code == 2
    assert wrong[scheme] in done.err.replace("\n", "")
    assert "Traceback" not in done.out + done.err


def test_nothing_is_imported_or_connected_before_it_is_used(python):
    code = """
import sys
from lume_services.config import configure, context
configure()
print([str(context.file_service().filesystem(name)) for name in ("a", "b")])
heavy = {"fsspec", "sshfs", "asyncssh", "s3fs", "aiobotocore", "botocore"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    variables = {
        "LUME_FILESYSTEMS__A__URL": "sftp://no-such-host.invalid/data",
        "LUME_FILESYSTEMS__B__URL": "s3://no-such-bucket",
    }
    done = subprocess.run(
        [python, "-c", code], env=os.environ | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "no-such-host" in done.stdout
