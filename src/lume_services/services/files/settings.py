"""Settings of the file service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from lume_services.services.settings import ExpandedPath, PublicText, ServiceConfig

__all__ = ["FilesystemConfig", "MountType", "MountedFilesystemConfig"]

MountType = Literal["Directory", "DirectoryOrCreate", "File", "FileOrCreate"]


class MountedFilesystemConfig(ServiceConfig):
    """A directory of this machine that jobs see under another path."""

    identifier: str = Field("mounted", description="Name that file records refer to it by.")
    mount_path: ExpandedPath = Field(description="The directory on this machine.")
    mount_alias: ExpandedPath = Field(description="The path under which jobs see it.")
    mount_type: MountType = Field(
        "DirectoryOrCreate", description="Whether it is made when missing, and of what kind."
    )


class FilesystemConfig(ServiceConfig):
    """A further filesystem, by URL."""

    url: PublicText = Field(
        description="Where it is, as fsspec writes it: `file:///data`, `s3://…`."
    )
    options: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Option of fsspec's filesystem, credentials among them; never shown.",
    )

    @property
    def scheme(self) -> str:
        """What stands before ``://``, which says what kind of filesystem it is."""
        return self.url.partition("://")[0]
