from __future__ import annotations
import pytest
from lume_services.services.files.filesystems import RemoteFilesystem
from lume_services.testing.filesystems import ConfinedFilesystemConformance

class TestSFTPConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, sftp, sftp_url):
        return RemoteFilesystem("lab", sftp_url, sftp.options)


class TestS3Conformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, s3, s3_url):
        return RemoteFilesystem("lab", s3_url, s3.options)

class TestMemoryConformance(ConfinedFilesystemConformance):
    @pytest.fixture
    def filesystem(self, tmp_path):
        import fsspec
        fsspec.filesystem("memory").makedirs(str(tmp_path))
        return RemoteFilesystem("lab", f"memory://{tmp_path}")
