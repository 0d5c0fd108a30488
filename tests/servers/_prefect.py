"""A Prefect server, on a PostgreSQL of its own: on SQLite it refuses runs that come at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.servers._server import Server
from tests.servers._sql import PostgreSQL


class Prefect(Server):
    """A Prefect server, with its pages, as the project's own pins make it."""

    program = "prefect"
    install = "pip install 'lume-services[prefect]'"

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(folder, *arguments)
        self.database = PostgreSQL(self.folder / "postgresql")

    def start(self) -> Any:
        """Start the database, then the server."""
        if self.database.process is None:
            self.database.start()
        return super().start()

    def prepare(self) -> None:
        """Make the database."""
        (self.folder / "url").write_text(self.database.url("prefect"))

    def environment(self) -> dict[str, str]:
        """The settings of Prefect's server."""
        url = (self.folder / "url").read_text()
        return {
            **super().environment(),
            "PREFECT_API_DATABASE_CONNECTION_URL": url.replace("+psycopg://", "+asyncpg://"),
            "PREFECT_HOME": str(self.folder / "home"),
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_UI_API_URL": self.api_url,
        }

    def command(self) -> list[str]:
        """What to run."""
        start = [self.executable(), "server", "start", *self.arguments]
        return [*start, "--host", self.host, "--port", str(self.port)]

    def ask(self) -> None:
        """Ask for its health."""
        with urlopen(f"{self.api_url}/health", timeout=2) as answer:
            assert answer.status == 200

    def stop(self) -> None:
        """Stop the server, then its database."""
        super().stop()
        self.database.stop()

    @property
    def api_url(self) -> str:
        """What ``PREFECT_API_URL`` is to be."""
        return f"http://{self.host}:{self.port}/api"

    def url(self, name: str) -> str:
        """One server has one of everything."""
        return self.api_url

    def drop(self, name: str) -> None:
        """Nothing is made for a test."""
