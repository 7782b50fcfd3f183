"""Downloads one thing over HTTP, behind the guard, with a limit of size and of time for all of it together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib.metadata import version
from ssl import SSLContext
from typing import IO, Final

import httpx

from reelwork.pipelines.match.web.errors import DownloadRefused, DownloadTooLarge, DownloadUnavailable
from reelwork.pipelines.match.web.guard import UrlGuard, shown, without_secrets
from reelwork.pipelines.match.web.html import HEAD_BYTES, looks_like_html

REDIRECTS_MAX: Final = 5
SILENCE_SECONDS_MAX: Final = 30.0
"""How long a server may take to connect, or to send anything more."""

ATTEMPTS_MAX: Final = 3
PAUSE_SECONDS: Final = 0.5
PAUSE_SECONDS_MAX: Final = 30.0
WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one download, redirects included. bytes_max: as they are once unpacked."""

    bytes_max: int
    seconds_max: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """url: where the redirects ended."""

    url: str
    content_type: str
    size_bytes: int


class Fetcher:
    """Downloads one after the other; stateless, thread-safe. pause: waits for so many seconds."""

    def __init__(self, guard: UrlGuard, *, pause: Callable[[float], None] = time.sleep) -> None:
        self.guard = guard
        self._pause = pause

    def read(
        self,
        url: str,
        *,
        expected: str,
        limits: Limits,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[Fetched, bytes]:
        """What lies at an address, in memory; with `form`, the answer to that form.

        expected: what it should be, for the error when a web page comes instead. DownloadRefused, AddressRefused,
        DownloadTooLarge; DownloadUnavailable after some attempts.
        """
        data = bytearray()

        def begin() -> Callable[[bytes], object]:
            data.clear()
            return data.extend

        fetched = self._attempt(url, begin, expected=expected, limits=limits, headers=headers, form=form)
        return fetched, bytes(data)

    def save(self, url: str, file: IO[bytes], *, expected: str, limits: Limits) -> Fetched:
        """As `read`, into a file that is empty."""

        def begin() -> Callable[[bytes], object]:
            file.seek(0)
            file.truncate()
            return file.write

        return self._attempt(url, begin, expected=expected, limits=limits, headers=None, form=None)

    def _attempt(
        self,
        url: str,
        begin: Callable[[], Callable[[bytes], object]],
        *,
        expected: str,
        limits: Limits,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
    ) -> Fetched:
        self.guard.check_url(url)
        for attempt in range(ATTEMPTS_MAX):
            try:
                return asyncio.run(self._exchange(url, begin(), expected, limits, headers, form))
            except DownloadUnavailable as error:
                wanted = error.retry_after_seconds
                pause = PAUSE_SECONDS * 2**attempt if wanted is None else wanted
                if attempt + 1 == ATTEMPTS_MAX or pause > PAUSE_SECONDS_MAX:
                    raise
                self._pause(pause)
        raise AssertionError("unreachable")

    async def _exchange(
        self,
        url: str,
        write: Callable[[bytes], object],
        expected: str,
        limits: Limits,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
    ) -> Fetched:
        try:
            async with asyncio.timeout(limits.seconds_max), _client(self.guard) as client:
                request = client.build_request("POST" if form else "GET", url, headers=headers, data=form)
                response = await client.send(request, stream=True, follow_redirects=form is None)
                try:
                    return await _received(response, write, expected, limits)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise DownloadTooLarge(
                f"{shown(url)} was not finished after {limits.seconds_max:g} s and was stopped"
            ) from error
        except httpx.TooManyRedirects as error:
            raise DownloadRefused(
                f"{shown(url)} redirects more than {REDIRECTS_MAX} times; check the address"
            ) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise DownloadRefused(
                f"{shown(url)} is, or redirects to, something that is no http address: {without_secrets(str(error))}"
            ) from error
        except httpx.DecodingError as error:
            raise DownloadRefused(f"{shown(url)} sent data that cannot be unpacked: {error}") from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise DownloadUnavailable(f"{shown(url)} cannot be reached or broke off: {reason}") from error


def _client(guard: UrlGuard) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=_GuardedTransport(guard),
        trust_env=False,  # a proxy from the environment would resolve names in the guard's place
        max_redirects=REDIRECTS_MAX,
        timeout=SILENCE_SECONDS_MAX,
        headers={"user-agent": f"reelwork/{version('reelwork')}"},
    )


async def _received(
    response: httpx.Response, write: Callable[[bytes], object], expected: str, limits: Limits
) -> Fetched:
    url = shown(str(response.url))
    _raise_for_status(response, url)
    content_type = response.headers.get("content-type", "")
    promised = response.headers.get("content-length", "")
    if promised.isascii() and promised.isdigit() and int(promised) > limits.bytes_max:
        raise DownloadTooLarge(f"{url} is {promised} bytes long, more than the {limits.bytes_max} that are allowed")
    size = 0
    head = b""
    async for chunk in response.aiter_bytes(CHUNK_BYTES):
        if len(head) < HEAD_BYTES:
            head += chunk[: HEAD_BYTES - len(head)]
            if looks_like_html(head, content_type):
                raise DownloadRefused(f"{url} answered with a web page (HTML), not {expected}; check the address")
        size += len(chunk)
        if size > limits.bytes_max:
            raise DownloadTooLarge(
                f"{url} sent more than the {limits.bytes_max} bytes that are allowed and was stopped"
            )
        write(chunk)
    return Fetched(url=str(response.url), content_type=content_type, size_bytes=size)


def _raise_for_status(response: httpx.Response, url: str) -> None:
    if response.is_success:
        return
    said = f"{url} answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code in WORTH_ANOTHER_TRY:
        raise DownloadUnavailable(said, retry_after_seconds=_retry_after(response.headers.get("retry-after", "")))
    raise DownloadRefused(f"{said}; check the address", status=response.status_code)


def _retry_after(text: str) -> float | None:
    """Seconds from now, of either form of the header (RFC 9110, 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


class _GuardedTransport(httpx.AsyncBaseTransport):
    """Connects to the address that the guard has checked; certificates are those of the name all the same."""

    def __init__(self, guard: UrlGuard) -> None:
        self._guard = guard
        # None is kept open: what was agreed with one host must not serve another one that lies at the same address.
        self._http = httpx.AsyncHTTPTransport(
            verify=_ssl_context(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._guard.check_url(str(request.url))
        host = request.url.raw_host.decode("ascii").strip("[]")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        failure: httpx.TransportError | None = None
        for address in await self._guard.addresses(host, port):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._http.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # the guard gives at least one address
        raise failure

    async def aclose(self) -> None:
        await self._http.aclose()


@lru_cache(maxsize=1)
def _ssl_context() -> SSLContext:
    return httpx.create_ssl_context()
