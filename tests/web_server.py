"""A small real web server on this machine, whose answers a test writes: for whatever downloads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LOCALHOST = "127.0.0.1"
OTHER_LOCALHOST = "127.0.0.2"
"""An address of this machine that no test allows."""


@dataclass(frozen=True, slots=True)
class Request:
    """path: without the query."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Answer:
    """chunks: sent one after the other without a length, for as long as somebody listens."""

    body: bytes = b""
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Iterator[bytes] | None = None


Route = Callable[[Request], Answer]


@dataclass(slots=True)
class WebServer:
    """routes: what answers each path. requests: all that came, in their order."""

    host: str
    port: int
    routes: dict[str, Route] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def url(self, path: str, *, host: str | None = None) -> str:
        return f"http://{host or self.host}:{self.port}{path}"

    def serve(self, path: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        """Answers a path with a file; returns its address."""
        self.routes[path] = lambda _: Answer(body, content_type)
        return self.url(path)

    def redirect(self, path: str, to: str) -> str:
        self.routes[path] = lambda _: Answer(status=302, headers={"Location": to})
        return self.url(path)


@contextlib.contextmanager
def web_server(host: str = LOCALHOST, port: int = 0) -> Iterator[WebServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server asks for
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path, query, headers, self.rfile.read(length))
            served.requests.append(request)
            answer = served.routes.get(parts.path, lambda _: Answer(status=404))(request)
            with contextlib.suppress(ConnectionError):
                self._send(answer)

        do_HEAD = do_POST = do_GET  # noqa: N815

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in ({"Content-Type": answer.content_type} | answer.headers).items():
                self.send_header(name, value)
            if answer.chunks is None:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(answer.body)
            for chunk in answer.chunks or ():
                self.wfile.write(chunk)

        def log_message(self, format: str, *args: object) -> None:
            """A test's output is its own."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server((host, port), Handler) as server:
        served = WebServer(host, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
