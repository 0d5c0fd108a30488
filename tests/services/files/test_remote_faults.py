"""Servers that are away, refuse, or break off; and what must not be said about them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.servers import S3, SFTP

from lume_services.errors import (
    ConfigurationError,
    FilesystemError,
    FilesystemUnavailableError,
    MissingDependencyError,
    MissingFileError,
)
from lume_services.files.serializers import TextSerializer
from lume_services.services.files.filesystems import RemoteFilesystem

TEXT = TextSerializer()
SECRET = "n0t-t0-be-sh0wn"


@pytest.fixture
def mute():
    """Host and port of a server that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield "{}:{}".format(*listener.getsockname())


@pytest.fixture
def impatient(monkeypatch):
    """The seconds, fewer than otherwise, in which a server has to answer the first time."""
    monkeypatch.setattr(RemoteFilesystem, "timeout_s", 0.4)
    return 0.4


@contextmanager
def within(seconds):
    """What has to end in that time."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def quickly():
    """What has to end within 5 s, the first time that a server is asked."""
    return within(5)


# Wrong settings: one message that names the variable, at once


def test_unknown_host_key_is_refused(sftp, sftp_url, tmp_path):
    (tmp_path / "known_hosts").touch()
    options = {**sftp.options, "known_hosts": str(tmp_path / "known_hosts")}
    lab = RemoteFilesystem("lab", sftp_url, options)
    with (
        quickly(),
        pytest.raises(ConfigurationError, match=r"Host key is not trusted.*ssh-keyscan") as raised,
    ):
        lab.write("a.txt", "1", TEXT)
    assert "LUME_FILESYSTEMS__LAB__OPTIONS__KNOWN_HOSTS" in str(raised.value)


def test_another_host_key_than_the_known_one_is_refused(sftp, sftp_url, tmp_path):
    other = (sftp.folder / "client_key.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"[{sftp.host}]:{sftp.port} {other}")
    options = {**sftp.options, "known_hosts": str(tmp_path / "known_hosts")}
    with pytest.raises(ConfigurationError, match="Host key is not trusted"):
        RemoteFilesystem("lab", sftp_url, options).list_dir()


def test_without_an_option_the_users_known_hosts_decide(sftp, sftp_url, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {name: value for name, value in sftp.options.items() if name != "known_hosts"}
    with pytest.raises(ConfigurationError, match="Host key is not trusted"):
        RemoteFilesystem("lab", sftp_url, options).list_dir()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/known_hosts").write_text(sftp.known_hosts.read_text())
    assert RemoteFilesystem("lab", sftp_url, options).list_dir() == []


@pytest.mark.parametrize("known_hosts", [None, False])
def test_the_check_of_host_keys_cannot_be_turned_off(sftp, sftp_url, known_hosts):
    lab = RemoteFilesystem("lab", sftp_url, {**sftp.options, "known_hosts": known_hosts})
    with pytest.raises(ConfigurationError, match="known_hosts names a file"):
        lab.list_dir()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"username": "nobody-of-that-name"}, "Permission denied.*OPTIONS__USERNAME"),
        ({"client_keys": [], "password": SECRET}, "Permission denied.*OPTIONS__PASSWORD"),
        ({"client_keys": "/no/such/key"}, "No such file.*OPTIONS__CLIENT_KEYS"),
        ({"client_keys": __file__}, "Invalid private key.*OPTIONS__CLIENT_KEYS"),
        ({"no_such_option": "x"}, "no_such_option.*OPTIONS"),
    ],
)
def test_a_login_that_is_refused_names_what_to_look_at(sftp, sftp_url, changed, expected):
    lab = RemoteFilesystem("lab", sftp_url, {**sftp.options, "agent_path": None, **changed})
    with quickly(), pytest.raises(ConfigurationError, match=expected) as raised:
        lab.read("a.txt", TEXT)
    assert "'lab'" in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_missing_bucket_is_not_a_missing_file(s3, s3_url):
    lab = RemoteFilesystem("lab", "s3://no-such-bucket/x", s3.options)
    with (
        quickly(),
        pytest.raises(
            ConfigurationError, match=r"bucket does not exist.*LUME_FILESYSTEMS__LAB__URL"
        ),
    ):
        lab.file_exists("a.txt")
    # Gone while it is in use:
    lab = RemoteFilesystem("lab", s3_url, s3.options)
    assert lab.list_dir() == []
    s3.client().delete_bucket(Bucket=s3_url.removeprefix("s3://"))
    for use in (
        lambda: lab.list_dir(),
        lambda: lab.file_exists("a.txt"),
        lambda: lab.write("a.txt", "1", TEXT),
        lambda: lab.read("a.txt", TEXT),
    ):
        with pytest.raises(ConfigurationError, match="bucket does not exist"):
            use()
    s3.client().create_bucket(Bucket=s3_url.removeprefix("s3://"))


@pytest.mark.slow
def test_wrong_keys_of_s3(tmp_path):
    with S3(tmp_path) as server:
        url = server.url("lume-test")
        ask = urllib.request.Request(
            f"{server.options['endpoint_url']}/moto-api/reset-auth",
            data=b"0",
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(ask).close()  # from now on it looks at keys
        lab = RemoteFilesystem("lab", url, {**server.options, "secret": SECRET})
        with quickly(), pytest.raises(ConfigurationError, match=r"OPTIONS__KEY and") as raised:
            lab.list_dir()
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_urls_that_are_none():
    with pytest.raises(ConfigurationError, match="LUME_FILESYSTEMS__LAB__URL is not a URL"):
        RemoteFilesystem("lab", "/data")
    with pytest.raises(ConfigurationError, match="LUME_FILESYSTEMS__LAB__URL is not a URL"):
        RemoteFilesystem("lab", "sftp://[::1/data")
    with pytest.raises(ConfigurationError, match=r"Port could not be cast.*LAB__URL"):
        RemoteFilesystem("lab", "sftp://host:ssh/data").list_dir()
    with pytest.raises(ConfigurationError, match=r"holds a password.*OPTIONS__PASSWORD") as raised:
        RemoteFilesystem("lab", f"sftp://anna:{SECRET}@host/data")
    assert SECRET not in str(raised.value)
    with pytest.raises(ConfigurationError, match=r"names no host.*LUME_FILESYSTEMS__LAB__URL"):
        RemoteFilesystem("lab", "sftp:///data").list_dir()
    with pytest.raises(ConfigurationError, match=r"names no bucket.*LUME_FILESYSTEMS__LAB__URL"):
        RemoteFilesystem("lab", "s3:///data").list_dir()


@pytest.mark.parametrize(
    ("url", "package", "remedy"),
    [
        ("sftp://host/x", "asyncssh", r"pip install 'lume-services\[sftp\]'"),
        ("s3://bucket/x", "s3fs", r"pip install 'lume-services\[s3\]'"),
        ("gs://bucket/x", "gcsfs", "gcsfs"),
    ],
)
def test_a_missing_package_is_named_at_first_use(monkeypatch, url, package, remedy):
    ours = "lume_services.services.files.filesystems"
    for module in (f"{ours}._sftp", f"{ours}._s3"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    lab = RemoteFilesystem("lab", url)
    with pytest.raises(MissingDependencyError, match=f"LUME_FILESYSTEMS__LAB__URL.*{remedy}"):
        lab.read("a.txt", TEXT)


# Servers that are away


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("sftp://127.0.0.1:1/x", {}),
        ("sftp://no-such-host.invalid/x", {}),
        ("s3://bucket/x", {"endpoint_url": "http://127.0.0.1:1", "key": "k", "secret": SECRET}),
        (
            "s3://bucket/x",
            {"endpoint_url": "http://no-such-host.invalid", "key": "k", "secret": SECRET},
        ),
    ],
)
def test_a_server_that_was_never_reached_fails_at_once(url, options):
    lab = RemoteFilesystem("lab", url, options)
    with quickly(), pytest.raises(FilesystemUnavailableError, match=r"'lab'.*LAB__URL") as raised:
        lab.write("a.txt", "1", TEXT)
    assert isinstance(raised.value, ConnectionError)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_how_long_servers_have():
    assert (RemoteFilesystem.timeout_s, RemoteFilesystem.retry_s) == (4, 30)


def on_a_mute_server(mute, scheme):
    if scheme == "sftp":
        return RemoteFilesystem("lab", f"sftp://{mute}/x")
    options = {"endpoint_url": f"http://{mute}", "key": "k", "secret": "s"}
    return RemoteFilesystem("lab", "s3://bucket/x", options)


@pytest.mark.parametrize("scheme", ["sftp", "s3"])
def test_a_server_that_says_nothing_is_given_up(mute, scheme, impatient):
    lab = on_a_mute_server(mute, scheme)
    with (
        within(impatient + 1),
        pytest.raises(FilesystemUnavailableError, match=f"no answer within {impatient} s"),
    ):
        lab.list_dir()


def test_threads_do_not_wait_for_it_one_after_the_other(mute, impatient):
    lab = on_a_mute_server(mute, "sftp")

    def use(_):
        with pytest.raises(FilesystemUnavailableError, match="no answer within"):
            lab.list_dir()

    with within(impatient + 1), ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))


def test_a_host_that_opens_no_file_session_is_given_up(tmp_path, impatient):
    """Its disk hangs: one can log in, and it says that it is alive."""
    with SFTP(tmp_path, "-o", "ForceCommand=sleep 1000") as server:
        lab = RemoteFilesystem("lab", server.url("lume-test"), server.options)
        with (
            within(impatient + 1),
            pytest.raises(FilesystemUnavailableError, match=f"no answer within {impatient} s"),
        ):
            lab.list_dir()


def test_a_host_without_file_sessions_says_so(tmp_path):
    with SFTP(tmp_path, "-o", "MaxSessions=0") as server:
        lab = RemoteFilesystem("lab", server.url("lume-test"), server.options)
        with pytest.raises(ConfigurationError, match=r"no SFTP session.*LAB__URL"):
            lab.list_dir()


@pytest.fixture(params=[SFTP, S3])
def own(request, tmp_path):
    """A server to be killed, and what makes a filesystem on it."""
    with request.param(tmp_path) as server:
        yield server


@pytest.mark.slow
def test_a_server_that_comes_back_is_used_again(own, monkeypatch):
    lab = RemoteFilesystem("lab", own.url("lume-test"), own.options)
    lab.write("a.txt", "1", TEXT)
    own.kill()
    own.start()
    if isinstance(own, S3):
        own.url("lume-test")  # it keeps nothing
        lab.write("a.txt", "1", TEXT)
    assert lab.read("a.txt", TEXT) == "1"


@pytest.mark.slow
def test_a_call_waits_for_a_server_that_is_restarted(own):
    lab = RemoteFilesystem("lab", own.url("lume-test"), own.options)
    lab.write("a.txt", "1", TEXT)
    own.kill()
    restart = threading.Timer(1, own.start)
    restart.start()
    try:
        if isinstance(own, S3):  # it keeps nothing; but who else could say so than the new one?
            with pytest.raises(ConfigurationError, match="bucket does not exist"):
                lab.write("b.txt", "2", TEXT)
        else:
            lab.write("b.txt", "2", TEXT)
            assert lab.list_dir() == ["a.txt", "b.txt"]
    finally:
        restart.join()


@pytest.mark.slow
def test_after_the_stated_time_the_server_is_given_up(own, monkeypatch):
    monkeypatch.setattr(RemoteFilesystem, "retry_s", 1.0)
    lab = RemoteFilesystem("lab", own.url("lume-test"), own.options)
    lab.write("a.txt", "1", TEXT)
    own.kill()
    start = time.monotonic()
    with pytest.raises(FilesystemUnavailableError, match="LUME_FILESYSTEMS__LAB__URL"):
        lab.read("a.txt", TEXT)
    assert 0.5 < time.monotonic() - start < 10, "seconds; 30 is the default"


@pytest.mark.slow
def test_a_connection_lost_in_the_middle_of_an_upload(tmp_path):
    """The call goes on when the server is back, and leaves one whole file."""
    with SFTP(tmp_path) as server:
        lab = RemoteFilesystem("lab", server.url("lume-test"), server.options)
        lab.write("a.bin", "old", TEXT)
        folder = server.files / "lume-test"
        seen = []

        def kill_when_half_there():
            deadline = time.monotonic() + 30
            while not seen and time.monotonic() < deadline:
                for part in folder.glob(".lume-tmp-*"):
                    seen.append(part.name)
            server.kill()
            server.start()

        killer = threading.Thread(target=kill_when_half_there)
        killer.start()
        content = "new" * 10_000_000
        try:
            lab.write("a.bin", content, TEXT)
        finally:
            killer.join()
        assert seen
        assert lab.read("a.bin", TEXT) == content
        assert lab.list_dir() == ["a.bin"]


@pytest.mark.slow
def test_a_host_that_hangs_in_the_middle_of_an_upload(tmp_path, monkeypatch, caplog):
    """It says nothing, and closes nothing; the call goes on by a new connection."""
    monkeypatch.setattr(RemoteFilesystem, "retry_s", 4.0)
    with SFTP(tmp_path) as server:
        lab = RemoteFilesystem("lab", server.url("lume-test"), server.options)
        lab.write("a.bin", "old", TEXT)
        folder = server.files / "lume-test"
        stopped = []

        def stop_when_half_there():
            deadline = time.monotonic() + 30
            while not any(folder.glob(".lume-tmp-*")) and time.monotonic() < deadline:
                pass
            stopped.extend(server.sessions())
            for process in stopped:
                os.kill(process, signal.SIGSTOP)

        stopper = threading.Thread(target=stop_when_half_there)
        stopper.start()
        try:
            lab.write("a.bin", "new" * 10_000_000, TEXT)
            assert lab.read("a.bin", TEXT) == "new" * 10_000_000
            assert lab.list_dir() == ["a.bin"]
        finally:
            stopper.join()
            for process in stopped:
                os.kill(process, signal.SIGKILL)
        assert stopped
    assert "socket.send()" not in caplog.text


# Processes and threads


def _use_in_child(lab, queue):
    try:
        lab.write("child.txt", lab.read("a.txt", TEXT) + "2", TEXT)
        queue.put("done")
    except BaseException as error:
        queue.put(repr(error))


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_a_fork_connects_anew(kind, request):
    server, url = request.getfixturevalue(kind), request.getfixturevalue(f"{kind}_url")
    lab = RemoteFilesystem("lab", url, server.options)
    lab.write("a.txt", "1", TEXT)
    forks = multiprocessing.get_context("fork")
    queue = forks.Queue()
    children = [forks.Process(target=_use_in_child, args=(lab, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=30) for _ in children] == ["done", "done"]
    for child in children:
        child.join()
    assert lab.read("child.txt", TEXT) == "12"
    lab.write("b.txt", "still connected", TEXT)


# Nothing secret is said


def test_logs_hold_no_secret(s3, s3_url, sftp, sftp_url, caplog):
    caplog.set_level(logging.DEBUG)
    for lab in (
        RemoteFilesystem("lab", s3_url, {**s3.options, "secret": SECRET, "token": f"{SECRET}=="}),
        RemoteFilesystem("lab", sftp_url, {**sftp.options, "password": SECRET}),
    ):
        lab.write("a.txt", "1", TEXT)
        assert lab.read("a.txt", TEXT) == "1"
        assert SECRET not in repr(lab) + str(lab)
    denied = RemoteFilesystem(
        "lab", sftp_url, {**sftp.options, "client_keys": [], "password": SECRET}
    )
    with pytest.raises(ConfigurationError):
        denied.list_dir()
    assert len(caplog.records) > 10
    assert SECRET not in caplog.text


def test_a_secret_that_a_driver_puts_into_its_message_is_taken_out(monkeypatch, sftp, sftp_url):
    lab = RemoteFilesystem("lab", sftp_url, {**sftp.options, "client_keys": f"/{SECRET}/key"})
    with pytest.raises(ConfigurationError) as raised:
        lab.list_dir()
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_so_is_one_in_an_option_that_has_parts(monkeypatch, tmp_path):
    from fsspec.implementations.memory import MemoryFileSystem

    def fail(self, path, **_):
        raise OSError(f"cannot sign with {SECRET}")

    monkeypatch.setattr(MemoryFileSystem, "info", fail)
    options = {"client_kwargs": {"aws_secret_access_key": SECRET}}
    lab = RemoteFilesystem("lab", f"memory://{tmp_path}", options)
    with pytest.raises(FilesystemError, match=r"cannot sign with \*+\.") as raised:
        lab.file_exists("a.txt")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


# Uploads that are not whole


def test_a_truncated_upload_does_not_take_the_place_of_a_file(sftp, sftp_url, monkeypatch):
    import asyncssh

    lab = RemoteFilesystem("lab", sftp_url, sftp.options)
    lab.write("a.txt", "old", TEXT)
    write = asyncssh.SFTPClientFile.write

    async def half(file, data, offset=None):
        return await write(file, data[: len(data) // 2], offset)

    monkeypatch.setattr(asyncssh.SFTPClientFile, "write", half)
    with pytest.raises(FilesystemError, match=r"a\.txt.*5 of 10 bytes arrived"):
        lab.write("a.txt", "0123456789", TEXT)
    monkeypatch.undo()
    assert lab.read("a.txt", TEXT) == "old"
    assert [path.name for path in (sftp.files / sftp_url.rpartition("/")[2]).iterdir()] == ["a.txt"]


def test_so_it_is_with_other_protocols(tmp_path, monkeypatch):
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    fsspec.filesystem("memory").makedirs(str(tmp_path))
    lab = RemoteFilesystem("lab", f"memory://{tmp_path}")
    lab.write("a.txt", "old", TEXT)
    monkeypatch.setattr(
        MemoryFileSystem, "put_file", lambda self, local, path, **_: self.pipe_file(path, b"01234")
    )
    with pytest.raises(FilesystemError, match=r"a\.txt.*5 of 10 bytes arrived"):
        lab.write("a.txt", "0123456789", TEXT)
    monkeypatch.undo()
    assert lab.read("a.txt", TEXT) == "old"
    assert lab.list_dir() == ["a.txt"]


def test_a_file_that_was_deleted_by_a_lost_call_is_deleted(sftp, sftp_url, monkeypatch):
    """The connection is lost after the server did it, before it could say so."""
    import asyncssh

    lab = RemoteFilesystem("lab", sftp_url, sftp.options)
    lab.write("a.txt", "1", TEXT)
    unlink = asyncssh.SFTPClient.unlink

    async def unheard(channel, path):
        await unlink(channel, path)
        monkeypatch.undo()
        raise asyncssh.SFTPConnectionLost("connection lost")

    monkeypatch.setattr(asyncssh.SFTPClient, "unlink", unheard)
    lab.delete("a.txt")
    assert lab.list_dir() == []
    with pytest.raises(MissingFileError):
        lab.delete("a.txt")
