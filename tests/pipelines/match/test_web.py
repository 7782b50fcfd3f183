"""What may be reached and what may not, and where a download ends: against real servers on this machine."""

from __future__ import annotations

import asyncio
import io
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import httpx
import pytest

from reelwork.pipelines.match.web import (
    AddressRefused,
    DownloadRefused,
    DownloadTooLarge,
    DownloadUnavailable,
    Fetcher,
    GuardProxy,
    Limits,
    UrlGuard,
    looks_like_html,
)
from reelwork.pipelines.match.web.guard import is_public, parse_networks, resolve, shown, without_secrets
from tests.web_server import LOCALHOST, OTHER_LOCALHOST, Answer, Request, WebServer, web_server

LIMITS = Limits(bytes_max=1 << 20, seconds_max=10)
ONLY_LOCALHOST = parse_networks(LOCALHOST)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as served:
        yield served


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher(UrlGuard(ONLY_LOCALHOST), pause=lambda _: None)


def read(fetcher: Fetcher, url: str, *, limits: Limits = LIMITS) -> bytes:
    return fetcher.read(url, expected="a picture", limits=limits)[1]


class TestAddresses:
    @pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
    def test_public(self, address: str) -> None:
        assert is_public(ip_address(address))

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",  # the metadata of cloud machines
            "100.64.0.1",  # carriers
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",  # IPv4 inside IPv6, in all its forms
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ],
    )
    def test_not_public(self, address: str) -> None:
        assert not is_public(ip_address(address))


class TestGuard:
    def test_a_server_on_a_private_address_is_not_even_asked(self, server: WebServer) -> None:
        url = server.serve("/a.jpg", b"secret")
        told = r"127\.0\.0\.1 leads to 127\.0\.0\.1, which is not a public address; .*REELWORK_ALLOWED_NETWORKS"
        with pytest.raises(AddressRefused, match=told):
            read(Fetcher(UrlGuard()), url)
        assert server.requests == []

    @pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "0"])
    def test_other_spellings_of_it_are_the_same(self, server: WebServer, host: str) -> None:
        with pytest.raises(DownloadRefused, match=r"not a public address|no http address"):
            read(Fetcher(UrlGuard()), server.url("/", host=host))
        assert server.requests == []

    def test_an_allowed_one_is_reached(self, server: WebServer, fetcher: Fetcher) -> None:
        assert read(fetcher, server.serve("/a.jpg", b"picture")) == b"picture"

    def test_a_redirect_to_a_private_address_is_refused(self, server: WebServer, fetcher: Fetcher) -> None:
        with web_server(OTHER_LOCALHOST) as inner:
            url = server.redirect("/a.jpg", inner.serve("/secret", b"secret"))
            with pytest.raises(AddressRefused, match=OTHER_LOCALHOST):
                read(fetcher, url)
            assert inner.requests == []

    def test_the_connection_goes_to_the_address_that_was_checked(self, server: WebServer) -> None:
        """DNS rebinding: the name has another address each time it is asked for."""
        answers = itertools.cycle([[LOCALHOST], [OTHER_LOCALHOST]])
        asked = []

        async def rebinding(host: str, _: int) -> Sequence[str]:
            asked.append(host)
            return next(answers)

        with web_server(OTHER_LOCALHOST, server.port) as inner:
            inner.serve("/a.jpg", b"secret")
            server.serve("/a.jpg", b"picture")
            fetcher = Fetcher(UrlGuard(ONLY_LOCALHOST, resolver=rebinding))
            url = f"http://shop.example:{server.port}/a.jpg"
            assert read(fetcher, url) == b"picture"
            with pytest.raises(AddressRefused, match=r"shop\.example leads to 127\.0\.0\.2"):
                read(fetcher, url)
            assert inner.requests == []
        assert asked == ["shop.example"] * 2
        assert server.requests[0].headers["host"] == f"shop.example:{server.port}"

    def test_of_several_addresses_only_the_open_ones_are_used(self, server: WebServer) -> None:
        async def both(*_: object) -> Sequence[str]:
            return [OTHER_LOCALHOST, "10.0.0.1", LOCALHOST]

        with web_server(OTHER_LOCALHOST, server.port) as inner:
            server.serve("/a.jpg", b"picture")
            fetcher = Fetcher(UrlGuard(ONLY_LOCALHOST, resolver=both))
            assert read(fetcher, f"http://shop.example:{server.port}/a.jpg") == b"picture"
            assert inner.requests == []

    def test_a_proxy_of_the_environment_is_not_used(
        self, server: WebServer, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with web_server(OTHER_LOCALHOST) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url("/"))
            monkeypatch.setenv("http_proxy", proxy.url("/"))
            assert read(fetcher, server.serve("/a.jpg", b"picture")) == b"picture"
            assert proxy.requests == []

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "ftp://host/a.jpg",
            "data:text/plain,hello",
            "gopher://host/",
            "//host/a.jpg",
            "a.jpg",
            "",
            "http://",
            "http:///a.jpg",
            "http://host:99999/",
            "http://[::1/",
            "http://host/" + "a" * 3000,
        ],
    )
    def test_what_is_no_http_address_is_refused(self, fetcher: Fetcher, url: str) -> None:
        with pytest.raises(DownloadRefused, match="is not an address that can be downloaded"):
            read(fetcher, url)

    def test_a_redirect_to_a_file_is_refused(self, server: WebServer, fetcher: Fetcher) -> None:
        with pytest.raises(DownloadRefused):
            read(fetcher, server.redirect("/a.jpg", "file:///etc/passwd"))

    def test_a_name_that_does_not_exist_is_told(self) -> None:
        async def nothing(*_: object) -> Sequence[str]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        with pytest.raises(DownloadRefused, match=r"there is no host shop\.invalid: Name or service not known"):
            read(Fetcher(UrlGuard(resolver=nothing)), "http://shop.invalid/")

    def test_passwords_are_not_shown(self) -> None:
        assert shown("http://user:secret@host/a") == "http://host/a"

    # (said, without what may be a secret)
    @pytest.mark.parametrize(
        ("said", "left"),
        [
            ("https://host/a.mp4?token=s3cret&x=1", "https://host/a.mp4?..."),
            ("https://host/a#s3cret", "https://host/a?..."),
            ("HTTPS://me:s3cret@host:81/a?b", "HTTPS://host:81/a?..."),
            (
                "'http://host/?s3cret' moved to http://b/c?s3cret, twice",
                "'http://host/?...' moved to http://b/c?... twice",
            ),
            ("is it http://host/a or what?", "is it http://host/a or what?"),
            ("no address? none", "no address? none"),
        ],
    )
    def test_queries_are_not_shown(self, said: str, left: str) -> None:
        assert without_secrets(said) == left

    @pytest.mark.parametrize("url", ["ftp://host/a?s3cret", "http://?s3cret", "http://host:0/?s3cret"])
    def test_a_refused_address_is_shown_without_its_query(self, url: str) -> None:
        with pytest.raises(DownloadRefused) as refused:
            UrlGuard().check_url(url)
        assert "s3cret" not in str(refused.value)


class TestLimits:
    def test_an_endless_download_ends_at_its_size(self, server: WebServer, fetcher: Fetcher) -> None:
        server.routes["/a.jpg"] = lambda _: Answer(chunks=itertools.repeat(b"x" * 65536))
        with pytest.raises(DownloadTooLarge, match="sent more than the 1048576 bytes that are allowed"):
            read(fetcher, server.url("/a.jpg"))

    def test_a_promise_of_too_much_is_not_waited_for(self, server: WebServer, fetcher: Fetcher) -> None:
        release = threading.Event()

        def held() -> Iterator[bytes]:
            release.wait(20)
            yield b""

        server.routes["/a.jpg"] = lambda _: Answer(chunks=held(), headers={"Content-Length": "5000000"})
        try:
            with pytest.raises(DownloadTooLarge, match="is 5000000 bytes long"):
                read(fetcher, server.url("/a.jpg"))
        finally:
            release.set()

    def test_a_download_that_trickles_ends_at_its_time(self, server: WebServer, fetcher: Fetcher) -> None:
        stop = threading.Event()

        def trickle() -> Iterator[bytes]:
            while not stop.wait(0.02):
                yield b"x"

        server.routes["/a.jpg"] = lambda _: Answer(chunks=trickle())
        try:
            with pytest.raises(DownloadTooLarge, match=r"was not finished after 0\.3 s"):
                read(fetcher, server.url("/a.jpg"), limits=Limits(bytes_max=1 << 20, seconds_max=0.3))
        finally:
            stop.set()

    def test_a_server_that_never_answers_ends_at_the_same_time(self, fetcher: Fetcher) -> None:
        with socket.create_server((LOCALHOST, 0)) as silent:
            url = f"http://{LOCALHOST}:{silent.getsockname()[1]}/a.jpg"
            with pytest.raises(DownloadTooLarge, match=r"was not finished after 0\.3 s"):
                read(fetcher, url, limits=Limits(bytes_max=1 << 20, seconds_max=0.3))

    def test_packed_data_counts_as_it_is_unpacked(self, server: WebServer, fetcher: Fetcher) -> None:
        import gzip

        bomb = gzip.compress(bytes(20 << 20))
        server.routes["/a.jpg"] = lambda _: Answer(bomb, headers={"Content-Encoding": "gzip"})
        assert len(bomb) < LIMITS.bytes_max
        with pytest.raises(DownloadTooLarge):
            read(fetcher, server.url("/a.jpg"))

    def test_redirects_end(self, server: WebServer, fetcher: Fetcher) -> None:
        with pytest.raises(DownloadRefused, match="redirects more than 5 times"):
            read(fetcher, server.redirect("/a.jpg", "/a.jpg"))


class TestAnswers:
    # (body, content type): a page is a page whatever it calls itself
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"<!DOCTYPE html><title>Sign in</title>", "text/html; charset=utf-8"),
            (b"<!doctype html>\n<p>not found", "image/jpeg"),
            (b"\xef\xbb\xbf \n<html lang=en>", "application/octet-stream"),
            (b"anything", "text/html"),
        ],
    )
    def test_a_web_page_is_no_picture(
        self, server: WebServer, fetcher: Fetcher, body: bytes, content_type: str
    ) -> None:
        with pytest.raises(DownloadRefused, match=r"answered with a web page \(HTML\), not a picture"):
            read(fetcher, server.serve("/a.jpg", body, content_type))

    @pytest.mark.parametrize("head", [b"", b"\xff\xd8\xff", b"<svg xmlns=", b"id,title\n", b"<htmlish", b"{}"])
    def test_other_files_are_no_web_pages(self, head: bytes) -> None:
        assert not looks_like_html(head)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    def test_a_refusal_is_final(self, server: WebServer, fetcher: Fetcher, status: int) -> None:
        server.routes["/a.jpg"] = lambda _: Answer(status=status)
        with pytest.raises(DownloadRefused, match=f"answered {status}") as refused:
            read(fetcher, server.url("/a.jpg"))
        assert refused.value.status == status
        assert len(server.requests) == 1

    def test_a_server_that_is_busy_is_asked_again(self, server: WebServer) -> None:
        answers = iter([Answer(status=503), Answer(status=429, headers={"Retry-After": "7"}), Answer(b"picture")])
        server.routes["/a.jpg"] = lambda _: next(answers)
        pauses: list[float] = []
        fetcher = Fetcher(UrlGuard(ONLY_LOCALHOST), pause=pauses.append)
        assert read(fetcher, server.url("/a.jpg")) == b"picture"
        assert pauses == [0.5, 7]

    def test_one_that_stays_busy_may_be_tried_later(self, server: WebServer, fetcher: Fetcher) -> None:
        server.routes["/a.jpg"] = lambda _: Answer(status=503, headers={"Retry-After": "3600"})
        with pytest.raises(DownloadUnavailable, match="answered 503"):
            read(fetcher, server.url("/a.jpg"))
        assert len(server.requests) == 1  # nobody waits for an hour

    def test_one_that_is_not_there_may_be_tried_later(self, fetcher: Fetcher) -> None:
        with socket.create_server((LOCALHOST, 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(DownloadUnavailable, match="cannot be reached"):
            read(fetcher, f"http://{LOCALHOST}:{port}/a.jpg")

    def test_what_broke_off_is_not_kept(self, server: WebServer, fetcher: Fetcher) -> None:
        half = Answer(b"half", headers={"Content-Length": "100"})
        answers = iter([half, Answer(b"whole")])

        def route(_: Request) -> Answer:
            answer = next(answers)
            if answer is half:
                answer.chunks = iter([b""])  # sends the length that it names, and then less
            return answer

        server.routes["/a.jpg"] = route
        file = io.BytesIO()
        fetched = fetcher.save(server.url("/a.jpg"), file, expected="a picture", limits=LIMITS)
        assert file.getvalue() == b"whole"
        assert fetched.size_bytes == 5


class TestProxy:
    """The same promises, for a program that does the asking itself."""

    def test_allowed_addresses_are_reached(self, server: WebServer) -> None:
        url = server.serve("/a.mp4?b=c", b"") and server.serve("/a.mp4", b"video")
        with GuardProxy(UrlGuard(ONLY_LOCALHOST), bytes_max=1 << 20) as proxy, httpx.Client(proxy=proxy.url) as client:
            assert client.get(f"{url}?b=c").content == b"video"
        assert server.requests[0].query == {"b": "c"}
        assert not [name for name in server.requests[0].headers if name.startswith("proxy-")]
        assert proxy.refusal is None

    def test_others_are_not_and_redirects_to_them_neither(self, server: WebServer) -> None:
        with (
            web_server(OTHER_LOCALHOST) as inner,
            GuardProxy(UrlGuard(ONLY_LOCALHOST), bytes_max=1 << 20) as proxy,
            httpx.Client(proxy=proxy.url, follow_redirects=True) as client,
        ):
            assert client.get(server.redirect("/a.mp4", inner.url("/secret"))).status_code == 403
            assert inner.requests == []
        assert isinstance(proxy.refusal, AddressRefused)

    def test_tunnels_are_guarded_too(self, server: WebServer) -> None:
        with (
            web_server(OTHER_LOCALHOST) as inner,
            GuardProxy(UrlGuard(ONLY_LOCALHOST), bytes_max=1 << 20) as proxy,
            httpx.Client(proxy=proxy.url) as client,
        ):
            with pytest.raises(httpx.ProxyError, match="403"):
                client.get(inner.url("/secret").replace("http://", "https://"))
            assert inner.requests == []
            assert isinstance(proxy.refusal, AddressRefused)
            with pytest.raises((httpx.ConnectError, ssl.SSLError)):  # it was reached, and does not speak TLS
                client.get(server.url("/a.mp4").replace("http://", "https://"))

    def test_it_ends_at_its_size(self, server: WebServer) -> None:
        server.routes["/a.mp4"] = lambda _: Answer(chunks=itertools.repeat(b"x" * 65536))
        with GuardProxy(UrlGuard(ONLY_LOCALHOST), bytes_max=1 << 20) as proxy, httpx.Client(proxy=proxy.url) as client:
            received = len(client.get(server.url("/a.mp4")).content)
        assert received <= 1 << 20
        assert isinstance(proxy.refusal, DownloadTooLarge)

    def test_other_programs_are_kept_out(self, server: WebServer) -> None:
        url = server.serve("/a.mp4", b"video")
        with GuardProxy(UrlGuard(ONLY_LOCALHOST), bytes_max=1 << 20) as proxy:
            without_password = f"http://{proxy.url.rpartition('@')[2]}"
            with httpx.Client(proxy=without_password) as client:
                assert client.get(url).status_code == 407
        assert server.requests == []


def test_the_system_resolves_names_and_numbers() -> None:
    assert LOCALHOST in asyncio.run(resolve("localhost", 80))
    assert asyncio.run(resolve("127.1", 80)) == [LOCALHOST]
