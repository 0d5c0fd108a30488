"""What a stack keeps beside its volumes: passwords, variables, how it was started."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

from lume_services.errors import StackError
from lume_services.services._atomic import make_folder, replacing

__all__ = ["PASSWORDS", "StackFolder"]

PASSWORDS: Final = (
    "mysql_password",
    "mysql_root_password",
    "mongodb_password",
    "prefect_database_password",
)
"""The files of passwords, as the compose file names them."""


class StackFolder:
    """A folder that only its user can look into.

    Args:
        path: Where it is, or will be.

    Attributes:
        secrets: The folder of the passwords.
        env_file: What ``LUME_ENV_FILE`` is to be for those who use the stack; it holds passwords.
        files: The folder that is shared with jobs, where no other is named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secrets = path / "secrets"
        self.env_file = path / "services.env"
        self.files = path / "files"
        self._started = path / "stack.json"

    def has_passwords(self) -> bool:
        """Whether every password is there."""
        return all(_text(self.secrets / name) for name in PASSWORDS)

    def passwords(self) -> dict[str, str]:
        """The passwords; those that are missing are made."""
        for folder in (self.path, self.secrets):
            make_folder(folder)
            folder.chmod(0o700)
        for name in PASSWORDS:
            if not _text(self.secrets / name):
                # Letters that no URL, shell or file of options has to escape.
                _write(self.secrets / name, secrets.token_urlsafe(24))
            (self.secrets / name).chmod(0o600)
        return {name: _text(self.secrets / name) for name in PASSWORDS}

    def variables(self) -> dict[str, str]:
        """What ``write_variables`` wrote the last time."""
        texts = dotenv_values(stream=StringIO(_text(self.env_file)))
        return {name: text or "" for name, text in texts.items()}

    def write_variables(self, variables: Mapping[str, str]) -> None:
        """Write the env file."""
        lines = ["# Written by `lume-services docker start-services`. It holds passwords."]
        for name, text in variables.items():
            quoted = text.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"{name}='{quoted}'")
        _write(self.env_file, "\n".join(lines) + "\n")

    @property
    def persists(self) -> bool:
        """Whether the stack was ever started to keep what it stores."""
        return bool(self._last().get("persist"))

    @property
    def compose_files(self) -> list[Path]:
        """The compose files that it was last started with, beside the packaged one."""
        return list(map(Path, self._last().get("files", ())))

    def write_start(self, *, persist: bool, files: Sequence[Path]) -> None:
        """Remember how it is started."""
        _write(
            self._started, json.dumps({"persist": persist, "files": [str(one) for one in files]})
        )

    def delete(self) -> None:
        """Delete passwords and variables; the files that were shared with jobs stay."""
        self.env_file.unlink(missing_ok=True)
        self._started.unlink(missing_ok=True)
        for name in PASSWORDS:
            (self.secrets / name).unlink(missing_ok=True)

    def _last(self) -> dict[str, Any]:
        text = _text(self._started)
        last: dict[str, Any] = json.loads(text) if text else {}
        return last


def _text(file: Path) -> str:
    """What is in a file; nothing when there is none.

    Raises:
        StackError: It cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StackError(
            f"{file} cannot be read: {error.strerror}. Was the stack started by another user?"
        ) from error


def _write(file: Path, text: str) -> None:
    """Replace a file that only its user can read."""
    file.touch(mode=0o600)
    file.chmod(0o600)
    with replacing(file) as new:
        new.write_text(text, encoding="utf-8")
