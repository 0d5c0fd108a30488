"""Servers of files: SFTP by OpenSSH, S3 by moto."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.servers._server import Server


class SFTP(Server):
    """OpenSSH, for the current user, with a host key and a client's key of its own."""

    program = "sshd"
    install = "apt-get install openssh-server openssh-client"
    user = getpass.getuser()

    @property
    def key(self) -> Path:
        """The private key to log in with."""
        return self.folder / "client_key"

    @property
    def known_hosts(self) -> Path:
        """The file that says which host key is right."""
        return self.folder / "known_hosts"

    @property
    def files(self) -> Path:
        """The folder that it serves, as it is on this machine."""
        return self.folder / "files"

    def prepare(self) -> None:
        """Make the keys and the configuration."""
        self.executable()
        self.files.mkdir()
        for key in (self.key, self.folder / "host_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True
            )
        host_key = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[{self.host}]:{self.port} {host_key}")
        settings = {
            "Port": self.port,
            "ListenAddress": self.host,
            "HostKey": self.folder / "host_key",
            "PidFile": "none",
            "AuthorizedKeysFile": f"{self.key}.pub",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",
            "UsePAM": "no",
            "MaxStartups": "100",
            "Subsystem": "sftp internal-sftp",
        }
        lines = (f"{name} {value}\n" for name, value in settings.items())
        (self.folder / "sshd_config").write_text("".join(lines))

    def command(self) -> list[str]:
        """What to run."""
        if getpass.getuser() == "root":
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists
        return [self.executable(), "-D", "-e", "-f", f"{self.folder}/sshd_config", *self.arguments]

    def ask(self) -> None:
        """Nothing: it serves as soon as its port is open."""

    def url(self, name: str) -> str:
        """A new, empty folder; user and keys are in ``options``."""
        self.drop(name)
        (self.files / name).mkdir()
        return f"sftp://{self.host}:{self.port}{self.files / name}"

    def drop(self, name: str) -> None:
        """Remove a folder."""
        shutil.rmtree(self.files / name, ignore_errors=True)

    @property
    def options(self) -> dict[str, str]:
        """Who logs in, and how."""
        return {
            "username": self.user,
            "client_keys": str(self.key),
            "known_hosts": str(self.known_hosts),
        }

    def sessions(self) -> list[int]:
        """The processes of its connections."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid if self.process else 0)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(process) for process in found.stdout.split()]

    def kill(self) -> None:
        """Kill it, and the processes of its connections."""
        sessions = self.sessions()
        super().kill()
        for process in sessions:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


class S3(Server):
    """moto's S3, in memory: what is stored is gone when it ends."""

    program = "moto_server"
    install = "pip install 'moto[s3,server]'"
    user = "lume-access-key"
    _client: Any = None

    def command(self) -> list[str]:
        """What to run."""
        return [self.executable(), "-H", self.host, "-p", str(self.port), *self.arguments]

    def ask(self) -> None:
        """List the buckets."""
        self.client().list_buckets()

    def url(self, name: str) -> str:
        """A new, empty bucket."""
        self.drop(name)
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def drop(self, name: str) -> None:
        """Remove a bucket."""
        if name in {bucket["Name"] for bucket in self.client().list_buckets()["Buckets"]}:
            self.empty(name)
            self.client().delete_bucket(Bucket=name)

    def empty(self, name: str) -> None:
        """Remove all that is in a bucket."""
        for page in self.client().get_paginator("list_objects_v2").paginate(Bucket=name):
            if entries := page.get("Contents"):
                keys = [{"Key": entry["Key"]} for entry in entries]
                self.client().delete_objects(Bucket=name, Delete={"Objects": keys})

    @property
    def options(self) -> dict[str, str]:
        """Where it is, and the keys."""
        return {
            "endpoint_url": f"http://{self.host}:{self.port}",
            "key": self.user,
            "secret": self.password,
        }

    def client(self) -> Any:
        """A boto3 client, to look at what is stored with nothing of ours in between."""
        if self._client is None:
            import boto3

            self._client = boto3.client(
                "s3",
                endpoint_url=self.options["endpoint_url"],
                aws_access_key_id=self.user,
                aws_secret_access_key=self.password,
                region_name="us-east-1",
            )
        return self._client
