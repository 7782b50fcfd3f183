"""Event streams tell every change once, end with the job, and cost nothing after their client has left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from reelwork.api.events import KEEP_ALIVE, KEEP_ALIVE_POLLS, POLL_SECONDS
from reelwork.ledger import AssetOutcome
from reelwork.runtime.world import World
from tests.unit.api.conftest import Server, ServerMaker


class ServerSentEvent(NamedTuple):
    event_id: str
    data: dict[str, Any]


def events_in(text: str) -> list[ServerSentEvent]:
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [event_in(block) for block in blocks]


def event_in(block: str) -> ServerSentEvent:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    return ServerSentEvent(fields["id"], json.loads(fields["data"]))


class Script:
    """What happens while a stream sleeps between two looks; the last step must end it."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps: Iterator[Callable[[], object]] = iter(steps)
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        next(self.steps)()


def nothing() -> None: ...


class TestStream:
    def test_tells_every_change_and_ends_with_the_job(self, make_server: ServerMaker, video: bytes) -> None:
        script = Script()
        with make_server(world=World(sleep=script.sleep)) as server:
            job_id = server.submit(video)
            script.steps = iter(
                [
                    lambda: server.start(job_id, expected=2),
                    nothing,
                    lambda: server.record(job_id, AssetOutcome("1")),
                    lambda: server.record(job_id, AssetOutcome("2")),
                    lambda: server.complete(job_id, b"[]"),
                ]
            )
            answer = server.get(f"/jobs/{job_id}/events")
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        events = events_in(answer.text)
        told = [(event.data["status"], event.data["progress"], event.data["phase"]) for event in events]
        assert told == [
            ("pending", 0.0, None),
            ("running", 0.0, "parts"),
            ("running", 0.45, "parts"),
            ("running", 0.9, "parts"),
            ("completed", 1.0, "results"),
        ]
        assert [[stage["done"] for stage in event.data["stages"]] for event in events] == [[], [0], [1], [2], [2]]
        assert len({event.event_id for event in events}) == 5
        assert set(script.pauses) == {POLL_SECONDS}

    def test_shows_that_it_lives_while_nothing_happens(self, make_server: ServerMaker, video: bytes) -> None:
        script = Script()
        with make_server(world=World(sleep=script.sleep)) as server:
            job_id = server.submit(video)
            script.steps = iter([nothing] * (2 * KEEP_ALIVE_POLLS) + [lambda: server.fail(job_id, "no luck")])
            answer = server.get(f"/jobs/{job_id}/events")
        assert answer.text.count(KEEP_ALIVE) == 2
        assert [event.data["error_message"] for event in events_in(answer.text)] == [None, "no luck"]

    def test_ends_when_the_server_stops(self, make_server: ServerMaker, video: bytes) -> None:
        script = Script()
        with make_server(world=World(sleep=script.sleep)) as server:
            job_id = server.submit(video)
            script.steps = iter([lambda: setattr(server.state, "event_streams_end", True)])
            assert len(events_in(server.get(f"/jobs/{job_id}/events").text)) == 1


class TestClientThatComesBack:
    def test_hears_nothing_twice(self, make_server: ServerMaker, video: bytes) -> None:
        script = Script()
        with make_server(world=World(sleep=script.sleep)) as server:
            job_id = server.submit(video)
            script.steps = iter([lambda: setattr(server.state, "event_streams_end", True)])
            (heard,) = events_in(server.get(f"/jobs/{job_id}/events").text)
            server.state.event_streams_end = False
            script.steps = iter([lambda: server.fail(job_id, "no luck")])
            answer = server.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": heard.event_id})
            (last,) = events_in(answer.text)
            assert last.data["status"] == "failed"
            after = server.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": last.event_id})
            assert (after.status_code, after.content) == (204, b"")


class TestPlaces:
    def test_a_client_that_leaves_gives_its_place_back(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)

        async def listen_and_leave() -> int:
            heard = asyncio.Event()

            async def receive() -> dict[str, Any]:
                await heard.wait()
                return {"type": "http.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                if message.get("body"):
                    taken.append(server.state.event_streams.taken)
                    heard.set()

            taken: list[int] = []
            path = f"/jobs/{job_id}/events"
            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},  # as uvicorn says
                "method": "GET",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "headers": [(b"host", b"127.0.0.1")],
            }
            async with asyncio.timeout(10):
                await server.app(scope, receive, send)  # type: ignore[arg-type]
            return max(taken)

        assert asyncio.run(listen_and_leave()) == 1
        assert server.state.event_streams.taken == 0

    def test_are_bounded(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.state.event_streams.taken = 100
        answer = server.get(f"/jobs/{job_id}/events")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "this server is busy with 100 event streams; try again in a moment"}
