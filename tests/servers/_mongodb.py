"""A MongoDB server: ``mongod`` where there is one, else secantusdb, which speaks its protocol."""

from __future__ import annotations

import shutil
from typing import Any

from tests.servers._server import Server


class MongoDB(Server):
    """A MongoDB server that asks for no password. What it acknowledges is on the disk."""

    program = "secantusd-py"
    install = "pip install secantusdb"

    @property
    def is_mongod(self) -> bool:
        """Whether it is MongoDB's own server."""
        return shutil.which("mongod") is not None

    def command(self) -> list[str]:
        """What to run."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        if mongod := shutil.which("mongod"):
            place = ["--dbpath", str(data), "--bind_ip", self.host, "--port", str(self.port)]
            return [mongod, *place, *self.arguments]
        # Without a file of its own it would look for one of the user's.
        settings = self.folder / "secantusd.toml"
        settings.touch()
        place = ["--storage-path", str(data), "--host", self.host, "--port", str(self.port)]
        options = ["--config", str(settings), "--sync-on-commit", "--log-level", "WARNING"]
        return [self.executable(), *place, *options, *self.arguments]

    def ask(self) -> None:
        """Say hello."""
        with self.client() as client:
            client.admin.command("ping")

    def url(self, name: str) -> str:
        """A new, empty database."""
        self.drop(name)
        return f"mongodb://{self.host}:{self.port}/{name}"

    def drop(self, name: str) -> None:
        """Remove a database."""
        with self.client() as client:
            client.drop_database(name)

    def client(self, **options: Any) -> Any:
        """A PyMongo client, to look at what is stored with nothing of ours in between."""
        import pymongo

        options = {"serverSelectionTimeoutMS": 5000, "directConnection": True, **options}
        return pymongo.MongoClient(self.host, self.port, **options)
