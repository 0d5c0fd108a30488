"""Filesystems on servers keep the common contract: SFTP, S3, and another protocol of fsspec."""

from __future__ import annotations

import shutil

import fsspec
import pytest
from aiobotocore.session import AioSession

from lume_services.services.files.filesystems import RemoteFilesystem
from lume_services.testing.filesystems import ConfinedFilesystemConformance


@pytest.fixture(scope="module")
def on_sftp(sftp):
    """Two filesystems for one folder, connected once for all tests."""
    url = sftp.url("lume-conformance")
    yield [RemoteFilesystem("lab", url, sftp.options) for _ in range(2)]
    sftp.drop("lume-conformance")


class TestSFTPConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, sftp, on_sftp):
        for entry in (sftp.files / "lume-conformance").iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return on_sftp[0]

    @pytest.fixture
    def another(self, filesystem, on_sftp):
        return on_sftp[1]


@pytest.fixture(scope="module")
def on_s3(s3):
    """Two filesystems for one prefix, connected once for all tests."""
    options = {**s3.options, "session": AioSession()}
    url = f"{s3.url('lume-conformance')}/folder of the lab"
    yield [RemoteFilesystem("lab", url, options) for _ in range(2)]
    s3.drop("lume-conformance")


class TestS3Conformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, s3, on_s3):
        s3.empty("lume-conformance")
        return on_s3[0]

    @pytest.fixture
    def another(self, filesystem, on_s3):
        return on_s3[1]


class TestOtherProtocolConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, tmp_path):
        fsspec.filesystem("memory").makedirs(str(tmp_path))
        return RemoteFilesystem("lab", f"memory://{tmp_path}")

    @pytest.fixture
    def another(self, tmp_path):
        return RemoteFilesystem("lab", f"memory://{tmp_path}")
