"""Fetching a file over http without following it anywhere, and without telling the token.

Messages name host and path of an address only: what follows them may let somebody in.
"""

from __future__ import annotations

import hashlib
import re
import string
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Final
from urllib.error import URLError
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from pydantic import SecretStr

from lume_services import __version__
from lume_services.environment.archive import SDIST, WHEEL
from lume_services.errors import PackageError
from lume_services.services._atomic import replacing

__all__ = ["MAX_REDIRECTS", "MAX_SIZE", "address_of", "download", "too_large"]

MAX_SIZE: Final = 2 * 1024**3
"""Bytes that an archive may have."""
MAX_REDIRECTS: Final = 10
"""How often a server may say that the file is elsewhere."""
TIMEOUT_S: Final = 30.0
"""How long a server may say nothing."""
LIMIT_S: Final = 3600.0
"""How long a file may take in all."""

_TOKEN: Final = "LUME_ENVIRONMENT__TOKEN"  # noqa: S105 - the name of the variable
_CHUNK: Final = 1 << 20
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_FILE_NAME: Final = re.compile(
    rf"[A-Za-z0-9][\w.+!-]{{0,200}}({re.escape(SDIST)}|{re.escape(WHEEL)})", re.ASCII
)


def address_of(url: str) -> SplitResult:
    """Take a URL apart.

    Raises:
        PackageError: It is malformed, not of http or https, or has a login in it.
    """
    try:
        address = urlsplit(quote(url, safe=string.punctuation))
        is_whole = bool(address.scheme) and address.port != 0
    except ValueError:  # its text has a part of the URL, perhaps a password
        is_whole = False
    if is_whole and address.scheme not in ("http", "https"):
        raise PackageError(
            f"A package is not fetched by {address.scheme!r}: give an https address, or a path."
        )
    if not is_whole or not address.hostname:
        raise PackageError(
            "The address of the package is malformed: write https://host/path/name-1.0.tar.gz"
        )
    if "@" in address.netloc:
        raise PackageError(
            f"The address on {address.hostname} has a login in it, which would be recorded. Leave "
            f"it out, and set {_TOKEN}."
        )
    return address


def download(address: SplitResult, folder: Path, token: SecretStr | None) -> Path:
    """Fetch an archive.

    Args:
        address: Where it is; the fragment may be ``sha256=<hex>``.
        folder: Where it is put, under the name that the address or else the server gives it.
        token: Is sent to this host only, and only over https or on this machine.

    Raises:
        PackageError: It is not there, not allowed, too large, cut off or not the one with that
            digest.
        OSError: It cannot be written.
    """
    expected = re.fullmatch(r"(?:sha256=([0-9A-Fa-f]{64}))?", address.fragment)
    if not expected:
        raise PackageError(
            f"What follows '#' in {_shown(address)} is not sha256=<64 hex digits>: correct it."
        )
    response, found_at = _answer(address, token)
    with closing(response):
        target = folder / _file_name(address, found_at, response)
        sha256 = hashlib.sha256()
        with replacing(target) as new, new.open("wb") as file:
            for chunk in _content(response, found_at):
                sha256.update(chunk)
                file.write(chunk)
            if expected[1] and sha256.hexdigest() != expected[1].lower():
                raise PackageError(
                    f"{_shown(address)} has the sha256 {sha256.hexdigest()}, and not the one after "
                    "'#'. It was changed, or the digest is that of another file: do not use it "
                    "before you know."
                )
    return target


def too_large(what: str) -> PackageError:
    """The refusal of an archive for its size."""
    return PackageError(
        f"{what} is larger than {MAX_SIZE / 1024**3:g} GiB. Leave data out of the package."
    )


def _answer(address: SplitResult, secret: SecretStr | None) -> tuple[HTTPResponse, SplitResult]:
    """The response with the file, and where it was in the end."""
    token = secret.get_secret_value().strip() if secret else ""
    if not (token.isascii() and token.isprintable()):
        raise PackageError(f"{_TOKEN} has characters that no token has: set it again.")
    here = address
    for _ in range(MAX_REDIRECTS + 1):
        is_sent = bool(token) and (here.scheme == "https" or _is_this_machine(here))
        response = _asked(here, token if is_sent else "")
        if response.status in _REDIRECTS:
            with closing(response):
                there = _redirected(here, response.headers.get("Location", ""))
            # Where another host sends back to the first one, that one's page was its choice.
            token = token if there.netloc.lower() == here.netloc.lower() else ""
            here = there
            continue
        if response.status == 200:
            return response, here
        with closing(response):
            raise _refusal(here, response.status, had_token=bool(secret), is_sent=is_sent)
    raise PackageError(
        f"{_shown(address)} redirects more than {MAX_REDIRECTS} times: give the address of the "
        "file itself."
    )


def _asked(address: SplitResult, token: str) -> HTTPResponse:
    # What opens an URL as a rule follows redirects, also to files, and takes the token along.
    opener = OpenerDirector()
    # A proxy would read what goes to this machine in clear.
    proxies = [] if _is_this_machine(address) else [ProxyHandler()]
    for handler in (HTTPHandler(), HTTPSHandler(), *proxies):
        opener.add_handler(handler)
    request = Request(  # noqa: S310 - of http or https
        urlunsplit(address._replace(fragment="")),
        headers={
            "User-Agent": f"lume-services/{__version__}",
            # GitHub answers with a description of the file otherwise.
            "Accept": "application/octet-stream, */*;q=0.1",
        },
    )
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        response = opener.open(request, timeout=TIMEOUT_S)
    except (OSError, HTTPException) as error:
        raise _unreachable(address, error) from None
    assert isinstance(response, HTTPResponse)
    return response


def _redirected(here: SplitResult, location: str) -> SplitResult:
    try:
        there = address_of(urljoin(urlunsplit(here._replace(fragment="")), location))
    except (PackageError, ValueError):
        reason = "to what is no http or https address, or has a login in it"
    else:
        if there.scheme == "https" or here.scheme == "http":
            return there
        reason = "from https to http, where anybody could change the file"
    raise PackageError(
        f"{_shown(here)} redirects {reason}; it is not followed. Give the address of the file "
        "itself."
    )


def _content(response: HTTPResponse, address: SplitResult) -> Iterator[bytes]:
    expected = response.length
    if expected is not None and expected > MAX_SIZE:
        raise too_large(_shown(address))
    count = 0
    until = time.monotonic() + LIMIT_S
    while expected is None or count < expected:
        try:
            chunk = response.read1(_CHUNK if expected is None else min(_CHUNK, expected - count))
        except (OSError, HTTPException) as error:
            raise _unreachable(address, error) from None
        if not chunk:
            break
        count += len(chunk)
        if count > MAX_SIZE:
            raise too_large(_shown(address))
        if time.monotonic() > until:
            raise PackageError(
                f"{_shown(address)} was not whole after {LIMIT_S / 60:g} minutes. Fetch it by "
                "other means, and give the file."
            )
        yield chunk
    if expected is not None and count < expected:
        raise PackageError(
            f"{_shown(address)} was cut off after {count} of {expected} bytes: try again."
        )


def _file_name(asked: SplitResult, found: SplitResult, response: HTTPResponse) -> str:
    given = (
        unquote(asked.path),
        response.headers.get_filename() or "",
        unquote(found.path),
    )
    for path in given:
        name = re.split(r"[/\\]", path)[-1]
        if _FILE_NAME.fullmatch(name):
            return name
    raise PackageError(
        f"{_shown(asked)} is not the address of a file that ends in {SDIST} or {WHEEL}: give that "
        "of the sdist or wheel itself."
    )


def _refusal(address: SplitResult, status: int, *, had_token: bool, is_sent: bool) -> PackageError:
    if is_sent:
        about_token = f"see that the token {_TOKEN} is in force and may read it"
    elif had_token:
        about_token = f"{_TOKEN} was not sent, as it goes to the host of an https address only"
    else:
        about_token = f"if it is not public, set {_TOKEN} to a token that may read it"
    remedy = {
        401: f"{about_token}.",
        403: f"{about_token}.",
        404: f"it is not there, or not shown to everybody. Look at the address; {about_token}.",
    }
    return PackageError(
        f"{_shown(address)} answers {status}: {remedy.get(status, 'try again later.')}"
    )


def _unreachable(address: SplitResult, error: Exception) -> PackageError:
    cause = error.reason if isinstance(error, URLError) else error
    # Messages of the http library may have the address in them, or what the server said.
    if isinstance(cause, SSLCertVerificationError):
        reason = f"its certificate is not trusted: {cause.verify_message}"
    else:
        reason = getattr(cause, "strerror", None) or type(cause).__name__
    return PackageError(
        f"{_shown(address)} cannot be fetched ({reason}): see that it is right and reachable from "
        "here, and try again."
    )


def _is_this_machine(address: SplitResult) -> bool:
    host = address.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(address: SplitResult) -> str:
    return f"{address.scheme}://{address.netloc}{address.path}"
