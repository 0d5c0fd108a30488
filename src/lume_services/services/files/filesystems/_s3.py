"""Object stores that speak S3, by s3fs."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.exceptions as boto
from s3fs import S3FileSystem

from lume_services.services.files.filesystems._connection import STALE, join
from lume_services.services.files.filesystems._fsspec import FsspecConnection

__all__ = ["S3Connection"]

_PART = 8 * 2**20
_PARTS_AT_ONCE = 4  # they are in memory, each with a copy or two
_MOST_PARTS = 10_000  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html

_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_CODES = frozenset({"InternalError", "OperationAborted", "RequestTimeout", "SlowDown"})
_MISTAKES = frozenset({"InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch"})


_SECRET_HEADER = re.compile(
    r"(x-amz-(?:security-token|[\w-]*customer-key)['\"]?: *b?['\"]?)[^'\",\s]+", re.IGNORECASE
)


def _without_secrets(record: logging.LogRecord) -> bool:
    """Mask what botocore writes into its log of each request when it is asked for details."""
    record.msg = _SECRET_HEADER.sub(r"\1********", record.getMessage())
    record.args = ()
    return True


for _name in ("botocore.auth", "botocore.endpoint"):
    logging.getLogger(_name).addFilter(_without_secrets)


class _AnyKey(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """s3fs with keys as they are.

    Its own ``split_path`` cuts a key off at ``?versionId=``: one file would replace another.
    """

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.removeprefix("s3://").partition("/")
        return bucket, key, None


class S3Connection(FsspecConnection):
    """Objects in a bucket, whose keys begin with a prefix."""

    root_is_always_there = True
    fs: _AnyKey

    def connect(
        self, url: str, options: Mapping[str, Any], timeout_s: float, patience_s: float
    ) -> tuple[_AnyKey, str]:
        """Ask for one key, so that a server that is away or a wrong bucket shows at once."""
        root = url.partition("://")[2].rstrip("/")
        bucket, _, prefix = root.partition("/")
        if not bucket:
            raise ValueError("the URL names no bucket: write s3://bucket/folder")
        # Whether to try again is decided in one place, ours.
        config = {
            "connect_timeout": timeout_s,
            "read_timeout": patience_s,
            "retries": {"total_max_attempts": 1},
        }
        fs = _AnyKey(
            skip_instance_cache=True,
            use_listings_cache=False,
            **{**options, "config_kwargs": {**config, **options.get("config_kwargs", {})}},
        )
        fs.retries = 1
        try:
            fs.call_s3(
                "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1, timeout=timeout_s
            )
        except PermissionError as error:
            if _code(error) != "AccessDenied":  # who may not list may still read and write
                raise
        return fs, root

    @classmethod
    def is_passing(cls, error: BaseException) -> bool:
        """See ``Connection.is_passing``."""
        answer = _answer(error)
        if answer is not None:
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status in _PASSING_STATUS or _code(error) in _PASSING_CODES
        if isinstance(error, boto.SSLError):
            return False
        lost = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)
        return isinstance(error, lost) or super().is_passing(error)

    @classmethod
    def advice(cls, error: BaseException, variable: str) -> str:
        """See ``Connection.advice``."""
        if _code(error) == "NoSuchBucket":
            return f"Check the bucket in {variable}__URL; it is not made for you."
        credentials = (PermissionError, boto.NoCredentialsError, boto.PartialCredentialsError)
        option = f"{variable}__OPTIONS__"
        if isinstance(error, credentials):
            return f"Check {option}KEY and {option}SECRET, and what that user is allowed to do."
        if cls.is_passing(error):
            return f"Check {variable}__URL and {option}ENDPOINT_URL."
        return ""

    @classmethod
    def is_misconfigured(cls, error: BaseException) -> bool:
        """See ``Connection.is_misconfigured``."""
        wrong = (boto.NoCredentialsError, boto.ParamValidationError, boto.PartialCredentialsError)
        return isinstance(error, wrong) or _code(error) in _MISTAKES

    def fetch(self, path: str, local: Path) -> None:
        """See ``Connection.fetch``: one request gives one object, several might give a mixture."""
        self.fs.get_file(join(self.root, path), str(local), max_concurrency=1)

    def store(self, local: Path, path: str) -> None:
        """See ``Connection.store``: S3 shows an object when all of it has come, and checks it.

        botocore sends a checksum with each part, and S3 refuses a part that does not match.
        """
        size = local.stat().st_size
        part = max(_PART, math.ceil(size / _MOST_PARTS))
        key = join(self.root, path)
        self.fs.put_file(str(local), key, chunksize=part, max_concurrency=_PARTS_AT_ONCE)
        if size >= 2 * part:
            self._tidy(key)

    def make_folder(self, path: str) -> None:
        """See ``Connection.make_folder``: an empty object, as S3's own console makes one."""
        self.fs.pipe_file(f"{join(self.root, path)}/", b"")

    def make_folder_for_file(self, path: str) -> None:
        """See ``Connection.make_folder_for_file``: a key needs no folder."""

    def _tidy(self, target: str) -> None:
        """Abort uploads that were never completed; they take space and are not listed."""
        bucket, _, key = target.partition("/")
        prefix = f"{key.rpartition('/')[0]}/".lstrip("/")
        if prefix in self._tidied:
            return
        self._tidied.add(prefix)
        with suppress(Exception):  # not everybody may
            found = self.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
            for upload in found.get("Uploads", []):
                if datetime.now(UTC) - upload["Initiated"] > STALE:
                    self.fs.call_s3(
                        "abort_multipart_upload",
                        Bucket=bucket,
                        Key=upload["Key"],
                        UploadId=upload["UploadId"],
                    )


def _answer(error: BaseException) -> dict[str, Any] | None:
    """The server's answer, which s3fs turns into errors of the operating system."""
    for one in (error, error.__cause__):
        if isinstance(one, boto.ClientError):
            return dict(one.response)
    return None


def _code(error: BaseException) -> str | None:
    answer = _answer(error)
    return answer.get("Error", {}).get("Code") if answer else None
