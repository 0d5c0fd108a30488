"""MariaDB and PostgreSQL."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import weakref
from pathlib import Path

from tests.servers._server import Server


class MariaDB(Server):
    """MariaDB, with a user that may do everything."""

    program = "mariadbd"
    install = "apt-get install mariadb-server"

    def prepare(self) -> None:
        """Make the system tables."""
        self.executable()
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *self._common(), *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (self.folder / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{self.user}'@'%' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'%' WITH GRANT OPTION;\n"
        )

    def command(self) -> list[str]:
        """What to run."""
        return [
            self.executable(),
            "--no-defaults",
            *self._common(),
            f"--bind-address={self.host}",
            f"--port={self.port}",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            f"--init-file={self.folder}/init.sql",
            "--character-set-server=utf8mb4",
            *self.arguments,
        ]

    def ask(self) -> None:
        """Log in."""
        self.execute("SELECT 1")

    def url(self, name: str) -> str:
        """A new, empty database."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`", f"CREATE DATABASE `{name}`")
        return f"mysql+pymysql://{self.credentials}/{name}"

    def drop(self, name: str) -> None:
        """Remove a database."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def execute(self, *statements: str) -> None:
        """Run SQL."""
        import pymysql

        with (
            pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                autocommit=True,
                connect_timeout=5,
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)

    def _common(self) -> list[str]:
        return [
            f"--user={getpass.getuser()}",
            f"--datadir={self.folder}/data",
            # Each one that starts deletes the temporary tables that it finds, another's, too.
            f"--tmpdir={self.folder}",
            "--skip-name-resolve",
        ]


class PostgreSQL(Server):
    """PostgreSQL. It refuses to run as root, and then runs as the user ``postgres``."""

    program = "postgres"
    install = "apt-get install postgresql"
    stops_by = signal.SIGINT  # by SIGTERM it would wait for its clients

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(folder, *arguments)
        # Folders of pytest are root's alone, where another user has to get in.
        self.data = Path(tempfile.mkdtemp(prefix="lume-postgresql-"))
        weakref.finalize(self, shutil.rmtree, self.data, ignore_errors=True)

    def prepare(self) -> None:
        """Make the cluster."""
        initdb = Path(self._postgres()).with_name("initdb")
        password_file = self.data / "password"
        password_file.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self.data, password_file):
                shutil.chown(path, "postgres", "postgres")
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(
            [
                *_as_postgres(),
                str(initdb),
                f"--pgdata={self.data}/data",
                f"--username={self.user}",
                f"--pwfile={password_file}",
                *options,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def command(self) -> list[str]:
        """What to run."""
        arguments = ["-D", f"{self.data}/data", "-p", str(self.port), "-h", self.host]
        return [
            *_as_postgres(),
            self._postgres(),
            *arguments,
            "-k",
            str(self.data),
            *self.arguments,
        ]

    def ask(self) -> None:
        """Log in."""
        self.execute("SELECT 1")

    def url(self, name: str) -> str:
        """A new, empty database."""
        self.drop(name)
        self.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://{self.credentials}/{name}"

    def drop(self, name: str) -> None:
        """Remove a database."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, *statements: str) -> None:
        """Run SQL."""
        import psycopg

        with psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            for statement in statements:
                connection.execute(statement)  # made of constants

    def _postgres(self) -> str:
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        return self.executable(*map(str, versions))


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
