"""Real servers for tests: each on a free port of loopback, in a folder of its own, ended with it.

::

    with MariaDB(tmp_path) as server:
        url = server.url("registry")     # a new, empty database
        server.kill()                    # as a power cut would
        server.start()                   # same port, same data

A server whose program is not installed skips the test and says what to install; with
``LUME_TEST_REQUIRE_SERVICES=1``, which CI sets, it fails it.
"""

from __future__ import annotations

from tests.servers._docker import Docker
from tests.servers._files import S3, SFTP
from tests.servers._kubernetes import Kubernetes
from tests.servers._mongodb import MongoDB
from tests.servers._prefect import Prefect
from tests.servers._server import Server, free_port
from tests.servers._sql import MariaDB, PostgreSQL
from tests.servers._worker import Worker

__all__ = [
    "S3",
    "SFTP",
    "Docker",
    "Kubernetes",
    "MariaDB",
    "MongoDB",
    "PostgreSQL",
    "Prefect",
    "Server",
    "Worker",
    "free_port",
]
