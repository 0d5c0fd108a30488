"""Settings of the file service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FilesystemConfig", "MountType", "MountedFilesystemConfig"]

MountType = Literal["Directory", "DirectoryOrCreate", "File", "FileOrCreate"]


class MountedFilesystemConfig(BaseModel):
    """A directory of this machine that jobs see under another path."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)

    identifier: str = Field("mounted", description="Name that file records refer to it by.")
    mount_path: Path = Field(description="The directory on this machine.")
    mount_alias: Path = Field(description="The path under which jobs see it.")
    mount_type: MountType = Field(
        "DirectoryOrCreate", description="Whether it is made when missing, and of what kind."
    )


class FilesystemConfig(BaseModel):
    """A further filesystem, by URL."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)

    url: str = Field(description="Where it is, as fsspec writes it: `file:///data`, `s3://…`.")
