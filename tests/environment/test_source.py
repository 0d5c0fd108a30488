"""A package comes from a file, a checkout or an address, whole or not at all; no token is told."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib import metadata
from pathlib import Path

import pytest
from pydantic import SecretStr

from lume_services.environment import _download, source
from lume_services.environment.inspection import inspect_package
from lume_services.environment.source import fetched
from lume_services.errors import MissingDependencyError, PackageError
from tests.environment.archives import sdist, wheel
from tests.environment.server import HTTPServer, content, raw, redirect, serving, status
from tests.services.models.test_tls import Authority

NAME = "my_model-1.2.0.tar.gz"
DATA = b"archive" * 1000
TOKEN = "t0ken-of-a-test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "fetched"
    path.mkdir()
    return path


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with serving() as one:
        yield one


@pytest.fixture
def other() -> Iterator[HTTPServer]:
    with serving() as one:
        yield one


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """A server whose certificate is that of an authority which is trusted."""
    authority = Authority.make(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with serving(authority.issue(tmp_path, "server")) as one:
        yield one


def refused(where: str, folder: Path, **options: object) -> str:
    """The message of a refusal that left nothing, and showed no token."""
    with pytest.raises(PackageError) as caught:
        fetched(where, folder, **options)  # type: ignore[arg-type]
    assert not list(folder.iterdir())
    everything = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert TOKEN not in everything
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Files


def test_an_archive_is_copied(folder: Path, tmp_path: Path) -> None:
    for path in (sdist(tmp_path), wheel(tmp_path)):
        copy = fetched(str(path), folder)
        assert copy == folder / path.name
        assert copy.read_bytes() == path.read_bytes()


def test_what_is_not_there_is_refused(folder: Path, tmp_path: Path) -> None:
    message = refused(str(tmp_path / "missing.tar.gz"), folder)
    assert re.search(r"missing\.tar\.gz' is not there\. Give a file that ends in", message)


def test_another_file_is_refused(folder: Path) -> None:
    assert "is neither sdist nor wheel" in refused(__file__, folder)


def test_a_file_that_is_too_large_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_SIZE", 10)
    assert "is larger than" in refused(str(sdist(tmp_path)), folder)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="cannot be brought into"):
        fetched(str(sdist(tmp_path)), tmp_path / "missing")


# Checkouts


@pytest.mark.parametrize("isolated", [False, True])
def test_a_checkout_is_built(isolated: bool, folder: Path, checkout: Path) -> None:
    path = fetched(str(checkout), folder, isolated=isolated)
    assert list(folder.iterdir()) == [path]
    assert inspect_package(path).model == "my_model.model:MyModel"


def test_a_build_does_not_run_what_is_called_build(
    folder: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "build.py").write_text("raise SystemExit('the wrong build')")
    monkeypatch.chdir(checkout)
    assert fetched(".", folder, isolated=True).name == NAME


def test_a_build_that_fails_says_its_last_lines(folder: Path, checkout: Path) -> None:
    (checkout / "flag").write_text("bad")
    with pytest.raises(PackageError, match=r"No sdist could be built of '.*checkout'") as caught:
        fetched(str(checkout), folder, isolated=True)
    assert "no compiler" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 11
    assert not list(folder.iterdir())


def test_what_an_isolated_build_needs_has_to_be_installed(folder: Path, checkout: Path) -> None:
    text = (checkout / "pyproject.toml").read_text()
    (checkout / "pyproject.toml").write_text(
        text.replace("requires = []", 'requires = ["lume-no-such-backend"]')
    )
    with pytest.raises(PackageError, match="lume-no-such-backend"):
        fetched(str(checkout), folder, isolated=True)


def test_a_folder_without_a_project_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "has no pyproject.toml and no setup.py" in refused(str(tmp_path), folder)


def test_without_build_it_is_said_what_to_install(
    folder: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(source, "distribution", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'lume-services\[packages\]'"):
        fetched(str(checkout), folder)
    assert not list(folder.iterdir())


# Addresses


def test_a_file_is_fetched(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/a/{NAME}"] = content(DATA)
    path = fetched(f"{server.url}/a/{NAME}?signature=1", folder)
    assert path == folder / NAME
    assert path.read_bytes() == DATA
    assert server.asked == [(f"/a/{NAME}?signature=1", None)]


def test_a_file_of_unknown_length_is_fetched(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = raw(b"HTTP/1.0 200 OK\r\n\r\n" + DATA)
    assert fetched(f"{server.url}/{NAME}", folder).read_bytes() == DATA


def test_a_file_in_chunks_is_fetched(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = raw(CHUNKED + b"0\r\n\r\n")
    assert fetched(f"{server.url}/{NAME}", folder).read_bytes() == DATA


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(DATA), DATA)
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        (f"/a/{NAME}", {"Content_Disposition": "attachment; filename=other-1.0.tar.gz"}, NAME),
        ("/assets/17", {"Content_Disposition": f'attachment; filename="{NAME}"'}, NAME),
        ("/assets/17", {"Content_Disposition": f"attachment; filename=../../{NAME}"}, NAME),
        ("/assets/17", {"Content_Disposition": f'attachment; filename="C:\\\\x\\\\{NAME}"'}, NAME),
        (f"/%2e%2e%2f%2e%2e%2f{NAME}", {}, NAME),
        ("/my%5Fmodel-1.2.0%2Blocal-py3-none-any.whl", {}, "my_model-1.2.0+local-py3-none-any.whl"),
    ],
)
def test_the_name_is_that_of_the_address_or_of_the_server(
    path: str, headers: dict[str, str], name: str, folder: Path, server: HTTPServer
) -> None:
    server.answers[path] = content(DATA, **headers)
    assert fetched(f"{server.url}{path}", folder) == folder / name


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content_Disposition": "attachment; filename=.tar.gz"},
        {"Content_Disposition": 'attachment; filename="-o.tar.gz"'},
        {"Content_Disposition": 'attachment; filename="a b.tar.gz"'},
        {"Content_Disposition": "attachment; filename=model.exe"},
        {"Content_Disposition": f"attachment; filename={'n' * 300}.tar.gz"},
    ],
)
def test_a_name_that_is_not_one_of_a_package_is_refused(
    headers: dict[str, str], folder: Path, server: HTTPServer
) -> None:
    server.answers["/download"] = content(DATA, **headers)
    assert "not the address of a file that ends in" in refused(f"{server.url}/download", folder)


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(
    number: int, folder: Path, server: HTTPServer, other: HTTPServer
) -> None:
    server.answers["/latest"] = redirect("/there", number)
    server.answers["/there"] = redirect(f"{other.url}/a/{NAME}", number)
    other.answers[f"/a/{NAME}"] = content(DATA)
    assert fetched(f"{server.url}/latest", folder).read_bytes() == DATA


@pytest.mark.parametrize(
    "to",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x.tar.gz",
        "data:text/plain,x",
        "javascript:alert(1)",
        "http://user:password@127.0.0.1/x.tar.gz",
        "http://[/x",
        "http://127.0.0.1:port/x",
    ],
)
def test_a_redirect_elsewhere_is_refused(to: str, folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = redirect(to)
    message = refused(f"{server.url}/{NAME}", folder)
    assert "redirects to what is no http or https address, or has a login in it" in message
    assert "password" not in message


def test_a_redirect_from_https_to_http_is_refused(
    folder: Path, https: HTTPServer, server: HTTPServer
) -> None:
    https.answers["/latest"] = redirect(f"{server.url}/{NAME}")
    assert "redirects from https to http" in refused(f"{https.url}/latest", folder)
    assert not server.asked


def test_a_redirect_from_http_to_https_is_followed(
    folder: Path, https: HTTPServer, server: HTTPServer
) -> None:
    server.answers["/latest"] = redirect(f"{https.url}/{NAME}")
    https.answers[f"/{NAME}"] = content(DATA)
    assert fetched(f"{server.url}/latest", folder, token=SecretStr(TOKEN)).read_bytes() == DATA
    assert https.asked == [(f"/{NAME}", None)]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    folder: Path, https: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    message = refused(f"{https.url}/{NAME}", folder, token=SecretStr(TOKEN))
    assert "cannot be fetched (its certificate is not trusted: " in message
    assert not https.asked


def test_a_redirect_to_itself_ends(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = redirect(f"/{NAME}")
    assert "redirects more than 10 times" in refused(f"{server.url}/{NAME}", folder)
    assert len(server.asked) == 11


def test_a_file_that_is_cut_off_is_refused(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = content(DATA, length=len(DATA) + 1)
    assert "was cut off after 7000 of 7001 bytes: try again" in refused(
        f"{server.url}/{NAME}", folder
    )
    server.answers[f"/{NAME}"] = raw(CHUNKED)
    assert "cannot be fetched (IncompleteRead)" in refused(f"{server.url}/{NAME}", folder)


def test_no_more_is_read_than_was_announced(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = content(DATA + b"more", length=len(DATA))
    assert fetched(f"{server.url}/{NAME}", folder).read_bytes() == DATA


@pytest.mark.parametrize("length", [None, 10**12])
def test_a_file_that_is_too_large_is_not_fetched(
    length: int | None, folder: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "MAX_SIZE", 5000)
    server.answers[f"/{NAME}"] = raw(b"HTTP/1.0 200 OK\r\n\r\n" + DATA)
    if length:
        server.answers[f"/{NAME}"] = content(b"", length=length)
    assert "is larger than" in refused(f"{server.url}/{NAME}", folder)


def test_a_server_that_says_nothing_is_not_waited_for(
    folder: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "TIMEOUT_S", 0.1)
    server.answers[f"/{NAME}"] = lambda _: time.sleep(0.5)
    assert "cannot be fetched (TimeoutError)" in refused(f"{server.url}/{NAME}", folder)

    def begins(request: BaseHTTPRequestHandler) -> None:
        content(b"begin", length=100)(request)
        time.sleep(0.5)

    server.answers[f"/{NAME}"] = begins
    assert "cannot be fetched (TimeoutError)" in refused(f"{server.url}/{NAME}", folder)


def test_a_server_that_says_little_for_long_is_left(
    folder: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "LIMIT_S", 0.2)

    def drips(request: BaseHTTPRequestHandler) -> None:
        content(b"", length=100)(request)
        with contextlib.suppress(OSError):
            for _ in range(100):
                request.wfile.write(b"x")
                time.sleep(0.02)

    server.answers[f"/{NAME}"] = drips
    assert "was not whole after" in refused(f"{server.url}/{NAME}", folder)


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2", b"HTTP/1.1 xyz OK\r\n\r\n"]
)
def test_a_server_that_talks_nonsense_is_refused(
    answer: bytes, folder: Path, server: HTTPServer
) -> None:
    server.answers[f"/{NAME}"] = raw(answer)
    message = refused(f"{server.url}/{NAME}?signature={TOKEN}", folder)
    assert re.search(r"cannot be fetched \((BadStatusLine|RemoteDisconnected)\)", message)


def test_a_server_that_is_not_there(folder: Path) -> None:
    message = refused(f"http://127.0.0.1:9/{NAME}", folder)
    assert f"http://127.0.0.1:9/{NAME} cannot be fetched (Connection refused)" in message


def test_the_digest_is_compared(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = content(DATA)
    digest = hashlib.sha256(DATA).hexdigest()
    for text in (digest, digest.upper()):
        assert fetched(f"{server.url}/{NAME}#sha256={text}", folder).read_bytes() == DATA
    (folder / NAME).unlink()
    message = refused(f"{server.url}/{NAME}#sha256={'0' * 64}", folder)
    assert f"has the sha256 {digest}, and not the one after '#'" in message
    assert server.asked[-1][0] == f"/{NAME}"


@pytest.mark.parametrize("fragment", ["sha256=12", "md5=abc", "egg=x"])
def test_another_fragment_is_refused(fragment: str, folder: Path, server: HTTPServer) -> None:
    message = refused(f"{server.url}/{NAME}#{fragment}", folder)
    assert "is not sha256=<64 hex digits>" in message
    assert not server.asked


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "not fetched by 'file'"),
        ("ftp://host/x.tar.gz", "not fetched by 'ftp'"),
        ("git+https://host/x", "not fetched by 'git+https'"),
        (f"https://user:{TOKEN}@host/x.tar.gz", "has a login in it"),
        (f"https://{TOKEN}@host/x.tar.gz", "LUME_ENVIRONMENT__TOKEN"),
        (f"https://user:{TOKEN}/x@host/x.tar.gz", "is malformed"),
        ("https:///x.tar.gz", "is malformed"),
        ("https://[host/x.tar.gz", "is malformed"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, message: str, folder: Path) -> None:
    assert message in refused(url, folder)


def test_an_isolated_machine_fetches_nothing(folder: Path, server: HTTPServer) -> None:
    message = refused(f"{server.url}/{NAME}", folder, isolated=True)
    assert "LUME_PREFECT__ISOLATED is set" in message
    assert not server.asked


# Tokens


def test_a_token_is_sent_over_https(folder: Path, https: HTTPServer) -> None:
    https.answers[f"/{NAME}"] = content(DATA)
    fetched(f"{https.url}/{NAME}", folder, token=SecretStr(TOKEN))
    assert https.asked == [(f"/{NAME}", f"Bearer {TOKEN}")]


def test_a_token_is_sent_to_its_host(folder: Path, server: HTTPServer) -> None:
    server.answers["/latest"] = redirect(f"{server.url}/{NAME}")
    server.answers[f"/{NAME}"] = content(DATA)
    fetched(f"{server.url}/latest", folder, token=SecretStr(f"{TOKEN}\n"))
    assert [token for _, token in server.asked] == [f"Bearer {TOKEN}"] * 2


def test_a_token_is_not_sent_to_another_host(
    folder: Path, server: HTTPServer, other: HTTPServer
) -> None:
    server.answers["/latest"] = redirect(f"{other.url}/there")
    other.answers["/there"] = redirect(f"{server.url}/{NAME}")
    server.answers[f"/{NAME}"] = content(DATA)
    fetched(f"{server.url}/latest", folder, token=SecretStr(TOKEN))
    assert other.asked == [("/there", None)]
    assert server.asked == [("/latest", f"Bearer {TOKEN}"), (f"/{NAME}", None)]


def test_a_token_is_not_sent_in_clear_over_a_network(
    folder: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host of http is reached by a proxy here, which sees all that goes to it."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    message = refused("http://lab.example/x.tar.gz", folder, token=SecretStr(TOKEN))
    assert server.asked == [("http://lab.example/x.tar.gz", None)]
    assert "LUME_ENVIRONMENT__TOKEN was not sent, as it goes to the host of an https" in message


def test_a_token_for_this_machine_passes_no_proxy(
    folder: Path, server: HTTPServer, other: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", other.url)
    server.answers[f"/{NAME}"] = content(DATA)
    fetched(f"{server.url}/{NAME}", folder, token=SecretStr(TOKEN))
    assert not other.asked


@pytest.mark.parametrize("number", [401, 403, 404])
def test_a_refusal_of_the_server_names_the_variable(
    number: int, folder: Path, server: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers[f"/{NAME}"] = status(number, WWW_Authenticate=f"Bearer realm={TOKEN}")
    without = refused(f"{server.url}/{NAME}?key={TOKEN}", folder)
    assert f"/{NAME} answers {number}: " in without
    assert "set LUME_ENVIRONMENT__TOKEN to a token that may read it" in without
    with_token = refused(f"{server.url}/{NAME}", folder, token=SecretStr(TOKEN))
    assert "see that the token LUME_ENVIRONMENT__TOKEN is in force and may read it" in with_token
    assert TOKEN not in caplog.text


def test_another_answer_is_told(folder: Path, server: HTTPServer) -> None:
    server.answers[f"/{NAME}"] = status(503)
    assert "answers 503: try again later" in refused(f"{server.url}/{NAME}", folder)


@pytest.mark.parametrize("token", [f"{TOKEN}\r\nX: y", f"{TOKEN}é", f"{TOKEN}\0"])
def test_a_token_that_no_header_may_have_is_not_shown(
    token: str, folder: Path, server: HTTPServer
) -> None:
    message = refused(f"{server.url}/{NAME}", folder, token=SecretStr(token))
    assert "LUME_ENVIRONMENT__TOKEN has characters that no token has" in message
    assert not server.asked


def test_a_disk_that_is_full_is_told(
    folder: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    server.answers[f"/{NAME}"] = content(DATA)
    monkeypatch.setattr("lume_services.services._atomic._sync", full)
    assert "No space left on device" in refused(f"{server.url}/{NAME}", folder)
