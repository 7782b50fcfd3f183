"""Who may talk to this server: holders of the token, or without one only programs on this machine.

Without a token a page in a browser of this machine must not get through either, neither by a form sent across origins
nor by a name that is made to point to loopback (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import secrets
from typing import Final
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reelwork.errors import ConfigurationError
from reelwork.settings import Config

HEADER_BYTES_MAX: Final = 32 * 1024
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def api_token(config: Config) -> str | None:
    """The token that clients must bring; an empty one is none."""
    secret = config.REELWORK_API_TOKEN
    return (secret.get_secret_value() or None) if secret is not None else None


def check_binding(host: str, config: Config) -> None:
    """Raises ConfigurationError for an address that others can reach when there is no token to keep them out."""
    if api_token(config) is None and not is_loopback(host):
        raise ConfigurationError(
            f"listening on {host or 'every address'} would open this server to everyone; "
            "set REELWORK_API_TOKEN to a secret, or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """The outermost middleware: refuses strangers before anything is read, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES_MAX:
            return _refuse(431, f"the headers of a request may take {HEADER_BYTES_MAX} bytes together")
        if scope["path"] in OPEN_PATHS:
            return None
        headers = Headers(scope=scope)
        if self._token is not None:
            return _wrong_token(headers, self._token)
        return _foreign_host(headers) or _foreign_page(scope["method"], headers)


def _refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers=headers)


def _wrong_token(headers: Headers, token: str) -> JSONResponse | None:
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode("latin-1"), token.encode()):
        return None
    return _refuse(
        401,
        "this server wants its token: send the header 'Authorization: Bearer <REELWORK_API_TOKEN>'",
        {"WWW-Authenticate": "Bearer"},
    )


def _foreign_host(headers: Headers) -> JSONResponse | None:
    if is_loopback(_host_name(headers.get("Host", ""))):
        return None
    return _refuse(
        403, "without REELWORK_API_TOKEN this server answers to names of its own machine only, such as 127.0.0.1"
    )


def _foreign_page(method: str, headers: Headers) -> JSONResponse | None:
    origin = headers.get("Origin")
    if origin is None or method in SAFE_METHODS or urlsplit(origin).netloc == headers.get("Host"):
        return None
    return _refuse(403, f"a page of {origin} may change nothing here")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
