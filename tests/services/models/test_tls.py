"""Encrypted connections: the server's certificate is checked, and a wrong one named."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from lume_services.errors import ConfigurationError
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
from lume_services.services.settings import TLSConfig
from tests.servers import MariaDB, PostgreSQL

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass
class Authority:
    """One that signs certificates, and where its own is."""

    file: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, file: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment"),
                *("data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            ),
            False,
        )
        certificate = (
            _builder(file.stem, file.stem, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
            .sign(key, hashes.SHA256())
        )
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(file, certificate, key)

    def issue(self, folder: Path, name: str, **alternative: Any) -> tuple[Path, Path]:
        """Files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            if not alternative
            else [x509.DNSName(alternative["host"])]
        )
        certificate = (
            _builder(name, self.file.stem, key)
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        files = folder / f"{name}.pem", folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        files[1].chmod(0o600)
        return files


def _builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


@dataclass
class Lab:
    server: MariaDB | PostgreSQL
    url: str
    ours: Authority
    other: Authority
    folder: Path
    closed_at_end: ExitStack

    def service(self, **tls: Any) -> ModelDBService:
        model_db = ModelDB(ModelDBConfig(url=self.url, tls=TLSConfig(**tls)))
        self.closed_at_end.callback(model_db.close)
        return ModelDBService(model_db)


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("tls")
    ours, other = Authority.make(folder / "ours.pem"), Authority.make(folder / "other.pem")
    certificate, key = ours.issue(folder, "server")
    if request.param == "mariadb":
        files = (f"--ssl-ca={ours.file}", f"--ssl-cert={certificate}", f"--ssl-key={key}")
        server: MariaDB | PostgreSQL = MariaDB(folder / "data", "--debug-no-sync", *files)
    else:
        server = PostgreSQL(folder / "data", "-c", "fsync=off")
        options = {"ssl": "on"}
        for name, file in {"ca": ours.file, "cert": certificate, "key": key}.items():
            copy = server.data / f"server-{name}"
            shutil.copy(file, copy)
            copy.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(copy, "postgres", "postgres")
            options[f"ssl_{name}_file"] = str(copy)
        server.arguments += tuple(
            word for name, value in options.items() for word in ("-c", f"{name}={value}")
        )
    # PostgreSQL ends when the last connection has.
    with server, ExitStack() as closed_at_end:
        url = server.url("registry")
        ModelDB(ModelDBConfig(url=url)).apply_schema()
        yield Lab(server, url, ours, other, folder, closed_at_end)


ENCRYPTED = {
    "mysql": "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
    "postgresql": "SELECT '', version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
}


def cipher(service: ModelDBService) -> str | None:
    engine = service._model_db.engine
    with engine.connect() as connection:
        return connection.execute(text(ENCRYPTED[engine.dialect.name])).one()[1] or None


def test_right_authority(lab: Lab) -> None:
    service = lab.service(ca_file=lab.ours.file)
    service.store_project("p")
    assert cipher(service)
    certificate, key = lab.ours.issue(lab.folder, "client")
    assert cipher(lab.service(ca_file=lab.ours.file, certificate_file=certificate, key_file=key))


def test_not_encrypted(lab: Lab) -> None:
    assert cipher(lab.service(enabled=False)) is None


@pytest.mark.parametrize("tls", ["other", None])
def test_wrong_authority(lab: Lab, tls: str | None) -> None:
    service = lab.service(**({"ca_file": lab.other.file} if tls else {"enabled": True}))
    with pytest.raises(ConfigurationError, match=r"LUME_MODEL_DB__TLS__CA_FILE") as raised:
        service.get_projects()
    assert "\n" not in str(raised.value)


def test_certificate_of_another_host(lab: Lab) -> None:
    service = lab.service(ca_file=lab.ours.file)
    service._model_db._url = service._model_db._url.set(host="localhost")
    with pytest.raises(ConfigurationError, match=r"See LUME_MODEL_DB__URL\.$"):
        service.get_projects()


def test_nobody_is_asked_for_a_passphrase(lab: Lab, tmp_path: Path) -> None:
    certificate, _ = lab.ours.issue(lab.folder, "client")
    key = tmp_path / "encrypted.key"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(ConfigurationError, match=r"LUME_MODEL_DB__TLS__KEY_FILE.*passphrase"):
        lab.service(certificate_file=certificate, key_file=key).get_projects()


@pytest.mark.parametrize("name", ["ca_file", "certificate_file", "key_file"])
def test_file_that_is_not_there(lab: Lab, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"LUME_MODEL_DB__TLS__{name.upper()}: /no/file"):
        lab.service(**{name: "/no/file"}).get_projects()


@pytest.mark.parametrize("name", ["ca_file", "certificate_file"])
def test_file_that_is_no_certificate(lab: Lab, name: str) -> None:
    file = lab.folder / "empty.pem"
    file.touch(mode=0o600)
    files = {"ca_file": lab.ours.file, name: file}
    with pytest.raises(ConfigurationError, match=f"LUME_MODEL_DB__TLS__{name.upper()}"):
        lab.service(**files).get_projects()


@pytest.mark.parametrize("database", ["mariadb", "postgresql"])
def test_server_without_tls(url: str, lab: Lab) -> None:
    service = ModelDBService(ModelDB(ModelDBConfig(url=url, tls=TLSConfig(ca_file=lab.ours.file))))
    with pytest.raises(ConfigurationError, match="LUME_MODEL_DB__TLS__ENABLED"):
        service.get_projects()


def test_other_drivers_have_their_own_options(tmp_path: Path) -> None:
    config = ModelDBConfig(url=f"sqlite:///{tmp_path}/models.db", tls=TLSConfig())
    with pytest.raises(ConfigurationError, match="mysql\\+pymysql and postgresql\\+psycopg"):
        ModelDB(config).apply_schema()
