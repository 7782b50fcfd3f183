"""Whatever answers at an address becomes an answer or one of our errors."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from reelwork.cli.client import Client, Refused, WatchedFile
from reelwork.cli.exit_code import ServerUnreachable
from reelwork.cli.wait import follow
from reelwork.errors import ConfigurationError, JobNotFound, ReelworkError


def client_of(*responses: httpx.Response | Exception) -> Client:
    """Of a server that gives these answers, one after the other."""
    left = list(responses)

    def answer(_: httpx.Request) -> httpx.Response:
        response = left.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    return Client(httpx.Client(base_url="http://test", transport=httpx.MockTransport(answer)))


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (httpx.Response(404, json={"detail": "no job has the id a"}), JobNotFound, "no job has the id a"),
        (httpx.Response(409, json={"detail": "over"}), Refused, "over"),
        (httpx.Response(401, json={"detail": "token"}), ConfigurationError, "token"),
        (httpx.Response(503, json={"detail": "busy"}), ServerUnreachable, "cannot answer now: busy"),
        (httpx.Response(200, text="<html>"), ServerUnreachable, "is no Reelwork server"),
        (httpx.Response(404, json={"message": "?"}), ServerUnreachable, "is no Reelwork server"),
        (httpx.ConnectError("refused"), ServerUnreachable, "no answer from http://test: refused"),
        (httpx.ReadTimeout(""), ServerUnreachable, "ReadTimeout"),
    ],
)
def test_failures(response: httpx.Response | Exception, kind: type[ReelworkError], words: str) -> None:
    with pytest.raises(kind, match=words):
        client_of(response).job("a")


def test_a_server_that_is_started_anew_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelwork.cli.wait.POLL_SECONDS", 0.0)
    running = {"job_id": "a", "status": "running", "progress": 0.5, "phase": "analysis"}
    client = client_of(
        httpx.Response(200, json=running),
        httpx.ConnectError("refused"),
        httpx.Response(200, json={**running, "status": "completed"}),
    )
    seen: list[float | None] = []
    assert follow(client, "a", None, lambda _, fraction: seen.append(fraction))["status"] == "completed"
    assert seen == [0.5, 0.5]


def test_an_upload_says_how_much_has_gone_out(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(bytes(100))
    fractions: list[float] = []
    with WatchedFile(path, fractions.append) as file:
        while file.read(40):
            pass
    assert fractions == [0.4, 0.8, 1.0, 1.0]
