"""Strangers get nothing: not without the token, not from a page in a browser, not by a name that points here."""

from __future__ import annotations

import pytest

from reelwork.api.security import SECURITY_HEADERS, check_binding
from reelwork.errors import ConfigurationError
from reelwork.settings import Config
from tests.unit.api.conftest import Server, ServerMaker


class TestBinding:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_loopback_needs_no_token(self, host: str) -> None:
        check_binding(host, Config())

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "example.com", "localhost.example.com"])
    def test_other_addresses_need_one(self, host: str) -> None:
        check_binding(host, Config(REELWORK_API_TOKEN="secret"))
        for config in (Config(), Config(REELWORK_API_TOKEN="")):
            with pytest.raises(ConfigurationError, match="set REELWORK_API_TOKEN"):
                check_binding(host, config)


class TestToken:
    @pytest.mark.parametrize("given", [None, "Bearer", "Bearer ", "Bearer secre", "Basic secret", "secret", "Bearer é"])
    def test_nothing_without_it(self, make_server: ServerMaker, given: str | None) -> None:
        headers = {} if given is None else {"Authorization": given.encode()}
        with make_server(REELWORK_API_TOKEN="secret") as server:
            for path in ("/jobs", "/video/status/a", "/openapi.json", "/nothing"):
                answer = server.get(path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert "REELWORK_API_TOKEN" in answer.json()["detail"]
            assert server.get("/healthz", headers=headers).status_code == 200
            assert server.get("/readyz", headers=headers).status_code == 200

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
    def test_everything_with_it_from_anywhere(self, make_server: ServerMaker, scheme: str) -> None:
        headers = {"Authorization": f"{scheme} secret", "Host": "reelwork.example.com"}
        with make_server(REELWORK_API_TOKEN="secret") as server:
            assert server.get("/jobs", headers=headers).status_code == 200

    def test_it_need_not_be_ascii(self, make_server: ServerMaker) -> None:
        with make_server(REELWORK_API_TOKEN="schlüssel") as server:
            assert server.get("/jobs", headers={"Authorization": "Bearer schlüssel".encode()}).status_code == 200


class TestWithoutToken:
    @pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
    def test_names_of_this_machine_are_answered(self, server: Server, host: str) -> None:
        assert server.get("/jobs", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.evil.com", "[", "", "192.168.1.7"])
    def test_other_names_are_not(self, server: Server, host: str) -> None:
        assert server.get("/jobs", headers={"Host": host}).status_code == 403
        assert server.get("/healthz", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:9"])
    def test_pages_from_elsewhere_change_nothing(self, server: Server, video: bytes, origin: str) -> None:
        answer = server.post("/video/submit", files={"file": video}, headers={"Origin": origin})
        assert answer.status_code == 403
        assert server.leftovers() == ([], [])

    def test_pages_from_here_may(self, server: Server, video: bytes) -> None:
        server.submit(video, headers={"Origin": "http://127.0.0.1"})


class TestEveryAnswer:
    @pytest.mark.parametrize("path", ["/healthz", "/jobs", "/nothing", "/jobs/nobody"])
    def test_carries_the_headers(self, server: Server, path: str) -> None:
        answer = server.get(path, headers={"Origin": "https://evil.example.com"})
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert "Access-Control-Allow-Origin" not in answer.headers

    def test_to_a_wrong_address_is_a_sentence(self, server: Server) -> None:
        answers = [server.get("/video"), server.request("DELETE", "/jobs/a")]
        assert [answer.status_code for answer in answers] == [404, 405]
        assert answers[0].json() == {
            "detail": "GET /video is not something this server does; /openapi.json says what is"
        }
        assert list(answers[1].json()) == ["detail"]

    def test_to_endless_headers_is_a_refusal(self, server: Server) -> None:
        assert server.get("/healthz", headers={"X-Long": "x" * 40_000}).status_code == 431

    def test_to_a_fault_of_ours_keeps_it_to_itself(self, server: Server) -> None:
        @server.app.get("/broken")
        def broken() -> None:
            raise RuntimeError("/secret/path")

        answer = server.get("/broken")
        assert answer.status_code == 500
        assert answer.json() == {"detail": "something went wrong inside the server; its log says more"}
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
