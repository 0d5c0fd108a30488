"""Settings of the file service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from lume_services.services.settings import ExpandedPath, PublicURL, ServiceConfig

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

    url: PublicURL = Field(
        description="Where it is: `sftp://user@host/folder`, `s3://bucket/folder`, "
        "`file:///folder`, or by another protocol of fsspec."
    )
    options: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Option of its protocol, as fsspec names it; never shown.",
    )

    @field_validator("options", mode="after")
    @classmethod
    def _lower_case(cls, options: dict[str, SecretStr]) -> dict[str, SecretStr]:
        # Variables are read in small and capital letters; and what is empty is not given.
        options = {name.lower(): text for name, text in options.items() if text.get_secret_value()}
        wrong = [name for name in options if "__" in name or name != name.strip("_") or not name]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no option: an option that has parts is one JSON object, "
                'such as OPTIONS__CLIENT_KWARGS={"region_name": "eu-central-1"}'
            )
        return options

    @property
    def scheme(self) -> str:
        """What stands before ``://``, which says what kind of filesystem it is."""
        return self.url.partition("://")[0]
