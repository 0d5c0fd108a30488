"""HTTP servers on this machine that answer as a test says, and remember what they were asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class HTTPServer:
    """One server; each has a port, and so a host, of its own."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    """What is done by path."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Authorization of every request."""


@contextmanager
def serving(tls: tuple[Path, Path] | None = None) -> Iterator[HTTPServer]:
    """A server in a thread; of https where a certificate and its key are given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append((self.path, self.headers.get("Authorization")))
            served.answers.get(self.path.partition("?")[0], status(404))(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = HTTPServer(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def content(data: bytes, *, length: int | None = None, **headers: str) -> Answer:
    """Send this, and say that it has this length."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def raw(data: bytes) -> Answer:
    """Send exactly this."""
    return lambda request: request.wfile.write(data) and None  # type: ignore[func-returns-value]


def status(number: int, **headers: str) -> Answer:
    """Answer with a status and headers."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(number)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()

    return answer


def redirect(to: str, number: int = 302) -> Answer:
    """Send elsewhere."""
    return status(number, Location=to)
