"""Filesystems on servers keep the common contract: SFTP, S3, and another protocol of fsspec."""

from __future__ import annotations

import fsspec
import pytest
from aiobotocore.session import AioSession

from lume_services.services.files.filesystems import RemoteFilesystem
from lume_services.testing.filesystems import ConfinedFilesystemConformance


class TestSFTPConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, sftp, sftp_url):
        return RemoteFilesystem("lab", sftp_url, sftp.options)

    @pytest.fixture
    def another(self, sftp, sftp_url):
        return RemoteFilesystem("lab", sftp_url, sftp.options)


@pytest.fixture(scope="module")
def session():
    """What botocore knows of S3, read from its files once and not for each test."""
    return AioSession()


class TestS3Conformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, s3, s3_url, session):
        options = {**s3.options, "session": session}
        return RemoteFilesystem("lab", f"{s3_url}/folder of the lab", options)

    @pytest.fixture
    def another(self, s3, s3_url, session):
        options = {**s3.options, "session": session}
        return RemoteFilesystem("lab", f"{s3_url}/folder of the lab", options)


class TestOtherProtocolConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, tmp_path):
        fsspec.filesystem("memory").makedirs(str(tmp_path))
        return RemoteFilesystem("lab", f"memory://{tmp_path}")

    @pytest.fixture
    def another(self, tmp_path):
        return RemoteFilesystem("lab", f"memory://{tmp_path}")
