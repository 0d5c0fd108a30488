"""MongoDB with users and with encrypted connections."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import tempfile
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.servers import MongoDB

from lume_services.errors import ConfigurationError, ResultsDBError, ResultsDBUnavailableError
from lume_services.services.results import ResultsDBConfig
from lume_services.services.results.mongodb import MongodbResultsDB

pytestmark = pytest.mark.slow


def insert(**settings: Any) -> str:
    """Store a document in the database that the settings name."""
    config = ResultsDBConfig(**settings, connection={"timeout_s": 1})
    store = MongodbResultsDB(config)
    try:
        return store.insert_one("c", {"x": 1})
    finally:
        store.close()


# --- Users ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoDB]:
    """A server that asks who one is."""
    with MongoDB(tmp_path_factory.mktemp("guarded")) as server:
        with server.client() as client:
            role = {"role": "readWrite", "db": "ours"}
            client.admin.command("createUser", server.user, pwd=server.password, roles=[role])
            client["ours"].command("createUser", "local", pwd=server.password, roles=["readWrite"])
        server.stop()
        server.arguments = ("--auth",)
        server.start()
        yield server


@pytest.fixture
def parts(guarded: MongoDB) -> dict[str, Any]:
    return {
        "host": guarded.host,
        "port": guarded.port,
        "username": guarded.user,
        "password": guarded.password,
        "database": "ours",
    }


def test_right_password_lets_in(guarded: MongoDB, parts: dict[str, Any]) -> None:
    place, password = f"{guarded.host}:{guarded.port}/ours", quote(guarded.password, safe="")
    assert insert(**parts)
    assert insert(**parts, authmechanism="SCRAM-SHA-256")
    assert insert(**{**parts, "username": "local"}, options="authSource=ours")
    assert insert(url=f"mongodb://{guarded.credentials}/ours?authSource=admin")
    assert insert(url=f"mongodb://local:{password}@{place}")
    assert insert(url=f"mongodb://local@{place}", password=guarded.password)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"password": "hunter2"}, ConfigurationError, "'lume' in.*USERNAME and LUME.*PASSWORD"),
        ({"username": "nobody"}, ConfigurationError, "'nobody' in.*LUME_RESULTS_DB__USERNAME"),
        ({"options": "authSource=ours"}, ConfigurationError, "authSource.*RESULTS_DB__OPTIONS"),
        ({"username": None, "password": None}, ConfigurationError, "LUME_RESULTS_DB__USERNAME"),
        ({"database": "theirs"}, ResultsDBError, "readWrite on 'theirs'.*RESULTS_DB__DATABASE"),
    ],
)
def test_who_is_not_let_in_is_told(
    parts: dict[str, Any],
    changed: dict[str, Any],
    error: type[Exception],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = {**parts, **changed}
    with pytest.raises(error, match=message) as caught:
        insert(**settings)
    assert not isinstance(caught.value, ResultsDBUnavailableError)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "\n" not in str(caught.value)
    for secret in (parts["password"], quote(parts["password"], safe=""), "hunter2"):
        assert secret not in shown


# --- Encrypted connections ------------------------------------------------------------------------


class Certificates:
    """A certificate authority and what it signed, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
        self.ca = self._write("ca", self._key, self._name)[0]

    def make(self, name: str, *hosts: x509.GeneralName) -> tuple[Path, Path]:
        """The files of a certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        return self._write(name, key, subject, *hosts)

    def _write(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        *hosts: x509.GeneralName,
    ) -> tuple[Path, Path]:
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1))
            .not_valid_after(datetime(2100, 1, 1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files


class EncryptedMongoDB(MongoDB):
    """A server that takes encrypted connections only, from who shows a certificate if asked to."""

    certificates: Certificates

    def client(self, **options: Any) -> Any:
        certificate, key = self.certificates.make("admin")
        both = self.folder / "admin.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        tls = {"tls": True, "tlsCAFile": str(self.certificates.ca)}
        return super().client(**tls, tlsCertificateKeyFile=str(both), **options)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncryptedMongoDB]:
    folder = tmp_path_factory.mktemp("encrypted")
    certificates = Certificates(folder / "certificates")
    address = x509.IPAddress(ipaddress.ip_address(MongoDB.host))
    certificate, key = certificates.make("server", address)
    server = EncryptedMongoDB(folder)
    server.certificates = certificates
    if server.is_mongod:
        both = folder / "both.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        mode = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(both))
        server.arguments = (*mode, "--tlsCAFile", str(certificates.ca))
    else:
        files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
        server.arguments = (*files, "--tls-ca-file", str(certificates.ca))
        server.arguments += ("--tls-require-client-cert",)
    with server:
        yield server


def test_encrypted_with_a_certificate(encrypted: EncryptedMongoDB) -> None:
    certificate, key = encrypted.certificates.make("client")
    both = encrypted.folder / "client.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    url, ca = encrypted.url("d"), encrypted.certificates.ca
    assert insert(url=url, tls={"ca_file": ca, "certificate_file": certificate, "key_file": key})
    assert insert(url=url, tls={"ca_file": ca, "certificate_file": both})
    assert insert(url=f"{url}?tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={both}")


def test_certificates_that_do_not_fit(encrypted: EncryptedMongoDB, tmp_path: Path) -> None:
    url, ours = encrypted.url("d"), encrypted.certificates
    theirs = Certificates(tmp_path / "theirs")
    certificate, _ = ours.make("client")
    for tls, message in (
        ({"ca_file": theirs.ca}, "verify failed.*LUME_RESULTS_DB__TLS__CA_FILE"),
        ({"enabled": True}, "verify failed.*LUME_RESULTS_DB__TLS__CA_FILE"),
        (
            {"ca_file": ours.ca, "certificate_file": certificate, "key_file": theirs.make("x")[1]},
            "Private key.*KEY_FILE",
        ),
    ):
        with pytest.raises(ConfigurationError, match=message) as caught:
            insert(url=url, tls=tls)
        assert "\n" not in str(caught.value)


def encrypted_key(key: Path) -> Path:
    """The same key in a file that is encrypted with a passphrase."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    path = key.with_suffix(".secret")
    path.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    return path


def test_nobody_is_asked_for_a_passphrase(encrypted: EncryptedMongoDB) -> None:
    """The terminal of a program that runs at night is watched by nobody."""
    certificate, key = encrypted.certificates.make("client")
    both = encrypted.folder / "encrypted.pem"
    both.write_bytes(certificate.read_bytes() + encrypted_key(key).read_bytes())
    url, ca = encrypted.url("d"), encrypted.certificates.ca
    separate = {"ca_file": ca, "certificate_file": certificate, "key_file": encrypted_key(key)}
    for settings, message in (
        ({"url": url, "tls": separate}, "LUME_RESULTS_DB__TLS__KEY_FILE: .* passphrase.*openssl"),
        (
            {"url": url, "tls": {"ca_file": ca, "certificate_file": both}},
            "LUME_RESULTS_DB__TLS__CERTIFICATE_FILE: .* passphrase",
        ),
        (
            {"url": f"{url}?tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={both}"},
            "tlsCertificateKeyFile.*LUME_RESULTS_DB__URL.* passphrase",
        ),
    ):
        with pytest.raises(ConfigurationError, match=message):
            insert(**settings)


def test_temporary_file_that_cannot_be_written_may_pass(
    encrypted: EncryptedMongoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = encrypted.certificates.make("client")
    tls = {"ca_file": encrypted.certificates.ca, "certificate_file": certificate, "key_file": key}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    with pytest.raises(ResultsDBUnavailableError, match=r"TLS__KEY_FILE.*No such file.*TMPDIR"):
        insert(url=encrypted.url("d"), tls=tls)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    url = encrypted.url("d")
    with monkeypatch.context() as patched:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patched.setattr(Path, "write_bytes", Mock(side_effect=full))
        with pytest.raises(ResultsDBUnavailableError, match=r"No space.*TMPDIR"):
            insert(url=url, tls=tls)
    assert insert(url=url, tls=tls)
    assert list(tmp_path.iterdir()) == []


def test_unencrypted_is_told_of_encryption(encrypted: EncryptedMongoDB) -> None:
    with pytest.raises(ResultsDBUnavailableError, match="LUME_RESULTS_DB__TLS__ENABLED=true"):
        insert(url=encrypted.url("d"))


def test_encrypted_is_told_where_nothing_is(mongodb_url: str) -> None:
    with pytest.raises((ResultsDBUnavailableError, ConfigurationError)) as raised:
        insert(url=mongodb_url, tls={"enabled": True})
    assert "encrypted connection" in str(raised.value)
    assert "TLS__ENABLED=true" not in str(raised.value)
