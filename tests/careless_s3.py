"""A server that speaks enough of S3 to show what becomes of one that passes over the conditions of a write.

It checks no signature and keeps its objects in memory. No real server that is so careless fits into a test.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

NONE: Mapping[str, str] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    heeded: frozenset[str]

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        data, asked = self.objects.get(self._key), self.headers.get("Range")
        if data is None or asked is None:
            self._answer(404 if data is None else 200, data or b"")
            return
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        self._answer(206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def do_DELETE(self) -> None:
        self.objects.pop(self._key, None)
        self._answer(204)

    def do_POST(self) -> None:
        """Deletes many; uploads in parts are not among what it can do."""
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if urlsplit(self.path).query != "delete":
            self._answer(501)
            return
        keys = re.findall("<Key>(.*?)</Key>", asked)
        for key in keys:
            self.objects.pop(f"{self._key}/{key}", None)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        copied = self.headers.get("x-amz-copy-source")
        of = "copy" if copied else "put"
        asked = {name for name in ("if-none-match", "cf-copy-destination-if-none-match") if name in self.headers}
        if self._key in self.objects and any(f"{of} {name}" in self.heeded for name in asked):
            self._answer(412)
            return
        self.objects[self._key] = self.objects[unquote(urlsplit(copied).path).lstrip("/")] if copied else data
        self._answer(200, b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>" if copied else b"")

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] = NONE) -> None:
        self.send_response(status)
        for name, value in {"ETag": '"x"', "Last-Modified": "Sat, 21 Nov 2026 20:00:00 GMT", **headers}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def careless_s3(*heeded: str) -> Iterator[str]:
    """Its endpoint. heeded: conditions that it does heed, such as `put if-none-match`."""
    handler = type("Handler", (_Handler,), {"objects": {}, "heeded": frozenset(heeded)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
