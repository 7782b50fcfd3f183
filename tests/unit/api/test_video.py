"""Status and results have exactly the fields of their contract; results are streamed, and there once a job is done."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest

from reelwork.ledger import AssetOutcome, AssetState
from tests.unit.api.conftest import Server


class TestStatus:
    def test_progress_goes_up_and_is_one_only_when_completed(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        seen = [server.get(f"/video/status/{job_id}").json()]
        server.start(job_id, expected=2)
        for asset in ("1", "2"):
            server.record(job_id, AssetOutcome(asset))
            seen.append(server.get(f"/video/status/{job_id}").json())
        server.complete(job_id, b"[]")
        seen.append(server.get(f"/video/status/{job_id}").json())
        assert seen == [
            {"job_id": job_id, "status": "pending", "progress": 0.0},
            {"job_id": job_id, "status": "running", "progress": 0.45},
            {"job_id": job_id, "status": "running", "progress": 0.9},
            {"job_id": job_id, "status": "completed", "progress": 1.0},
        ]

    def test_cancelled_shows_as_failed(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.post(f"/jobs/{job_id}/cancel")
        assert server.get(f"/video/status/{job_id}").json() == {"job_id": job_id, "status": "failed", "progress": 0.0}


class TestResults:
    @pytest.mark.parametrize(
        "results", [[], [{"frame_index": n, "result": {"text": "é\n"}} for n in range(3)]], ids=["none", "some"]
    )
    def test_are_those_of_the_job(self, server: Server, video: bytes, results: list[Any]) -> None:
        job_id = server.submit(video)
        server.start(job_id)
        server.complete(job_id, json.dumps(results, ensure_ascii=False).encode() + b"\n")
        answer = server.get(f"/video/results/{job_id}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json() == {"job_id": job_id, "results": results}

    def test_are_not_there_before_the_job_is_completed(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        path = f"/video/results/{job_id}"
        pending = server.get(path)
        server.start(job_id)
        running = server.get(path)
        server.record(job_id, AssetOutcome("1", state=AssetState.FAILED, error="noise"))
        server.fail(job_id, "no frame of the video could be analysed")
        failed = server.get(path)
        assert [answer.status_code for answer in (pending, running, failed)] == [404, 404, 404]
        assert [answer.json() for answer in (pending, running, failed)] == [
            {"detail": f"job {job_id} is pending; its results are there when it is completed"},
            {"detail": f"job {job_id} is running; its results are there when it is completed"},
            {"detail": f"job {job_id} is failed and has no results: no frame of the video could be analysed"},
        ]

    def test_that_have_been_removed_are_not_found(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.start(job_id)
        server.complete(job_id, b"[]")
        server.objects.delete([f"jobs/{job_id}/results.json"])
        assert server.get(f"/video/results/{job_id}").status_code == 404

    def test_take_no_memory_however_large(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.start(job_id)
        results = b"[" + b"1," * 25_000_000 + b"1]"
        server.complete(job_id, results)
        tracemalloc.start()
        try:
            received = asyncio.run(count_bytes(server, f"/video/results/{job_id}"))
            assert received == len(results) + len(f'{{"job_id":"{job_id}","results":}}')
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


async def count_bytes(server: Server, path: str) -> int:
    """The size of a body of which nothing is kept."""
    received = 0

    async def receive() -> dict[str, Any]:
        await asyncio.Future()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal received
        received += len(message.get("body", b""))

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }
    await server.app(scope, receive, send)  # type: ignore[arg-type]
    return received


@pytest.mark.parametrize("path", ["/video/status/{}", "/video/results/{}", "/jobs/{}", "/jobs/{}/events"])
class TestJobThatIsNone:
    def test_unknown(self, server: Server, path: str) -> None:
        unknown = "0b9b4e9c-5b1c-4a56-9f5e-4a5b0b9b4e9c"
        answer = server.get(path.format(unknown))
        assert (answer.status_code, answer.json()) == (404, {"detail": f"no job has the id {unknown}"})

    @pytest.mark.parametrize("malformed", ["%20", "a%00b", "..%2e", "%D1%8F", "a%0A", "x" * 65, "'; DROP TABLE jobs"])
    def test_malformed(self, server: Server, path: str, malformed: str) -> None:
        answer = server.get(path.format(malformed))
        assert answer.status_code == 404
        assert answer.json() == {
            "detail": "this is not the id of a job: an id has 1 to 64 letters, digits, '-' and '_'"
        }
