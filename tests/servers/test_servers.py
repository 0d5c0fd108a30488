"""The servers that other tests build on do what is said of them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.servers import S3, SFTP, MariaDB, MongoDB, PostgreSQL, Server


@pytest.mark.parametrize("kind", [MariaDB, PostgreSQL, MongoDB, SFTP, S3])
def test_server_is_there_again_after_it_was_killed(kind: type[Server], tmp_path: Path) -> None:
    with kind(tmp_path) as server:
        server.url("one")
        server.kill()
        with (
            pytest.raises(ConnectionRefusedError),
            socket.create_connection((server.host, server.port)),
        ):
            pass
        server.start()
        server.ask()
        server.url("one")


def test_missing_server_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent(MariaDB):
        program = "no-such-server"

    monkeypatch.delenv("LUME_TEST_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install mariadb-server"):
        Absent(tmp_path).start()
    monkeypatch.setenv("LUME_TEST_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-server"):
        Absent(tmp_path).start()
