"""A submit makes exactly one job and stores exactly its bytes; what is refused says why and leaves nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from reelwork.ledger import JobStatus
from reelwork.objects.keys import frame_index_key
from tests.clips import signature_only, sound_only, truncate, without_frames, write_clip
from tests.unit.api.conftest import Server, ServerMaker

BOUNDARY = "frontier"
FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name: str, content: bytes, *, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


class TestAcceptedVideo:
    def test_is_stored_and_becomes_one_job(self, server: Server, video: bytes) -> None:
        answer = server.post(
            "/video/submit", files={"file": ("clip.mp4", video)}, data={"frame_stride": "2", "max_frames": "9"}
        )
        (job,) = server.ledger.jobs()
        assert (answer.status_code, answer.json()) == (200, {"job_id": job.job_id})
        assert (job.status, job.pipeline, job.idempotency_key) == (JobStatus.PENDING, "analyze", None)
        assert server.objects.get(job.input_path) == video
        assert job.parameters == {
            "pipeline_id": "small",
            "frame_stride": 2,
            "max_frames": 9,
            "input": {
                "sha256": hashlib.sha256(video).hexdigest(),
                "size_bytes": len(video),
                "codec": "h264",
                "width": 64,
                "height": 48,
                "frame_count": 30,
                "duration_seconds": 1.2,
                "frame_rate": 25.0,
                "has_audio": False,
            },
        }

    def test_its_queue_gets_exactly_the_job_id(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        (event,) = server.ledger.outbox(job_id)
        assert (event.topic, json.loads(event.body)) == ("video.submitted", {"job_id": job_id})

    @pytest.mark.parametrize("file_first", [True, False])
    def test_fields_may_stand_on_either_side_of_the_file(self, server: Server, video: bytes, file_first: bool) -> None:
        fields: list[Any] = [("pipeline", (None, "other")), ("frame_stride", (None, "3"))]
        file: list[Any] = [("file", ("clip.mp4", video))]
        assert server.post("/video/submit", files=file + fields if file_first else fields + file).status_code == 200
        (job,) = server.ledger.jobs()
        assert (job.pipeline, job.parameters["frame_stride"]) == ("other", 3)

    @pytest.mark.parametrize("name", ["../../../etc/passwd", "C:\\clip.mp4", "", 'a"b.mp4', "😀.mp4"])
    def test_its_file_name_is_never_used(self, server: Server, video: bytes, name: str) -> None:
        assert server.post("/video/submit", files={"file": (name, video)}).status_code == 200
        (job,) = server.ledger.jobs()
        assert sorted(path.name for path in server.stored_files() if path.is_file()) == ["index.npz", "source.mp4"]
        assert job.input_path == f"input/{job.job_id}/source.mp4"

    def test_created_under_jobs_is_told_in_full(self, server: Server, video: bytes) -> None:
        headers = {"Idempotency-Key": "once"}
        first = server.post("/jobs", files={"file": video}, headers=headers)
        second = server.post("/jobs", files={"file": video}, headers=headers)
        (job,) = server.ledger.jobs()
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.headers["Location"] == f"/jobs/{job.job_id}"
        assert first.json()["job_id"] == job.job_id
        assert first.json() == second.json() == server.get(first.headers["Location"]).json()


def written(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


def cut(path: Path) -> Path:
    return truncate(write_clip(path.with_stem("whole")), path)


class TestRefusedVideo:
    @pytest.mark.parametrize(
        ("make", "status", "reason"),
        [
            (written(b""), 400, "the file is empty"),
            (written(b"hello world" * 100), 415, "not a video file"),
            (written(b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n"), 415, "not a video file"),
            (signature_only, 400, "signature of an MP4 file"),
            (sound_only, 415, "sound only, no video"),
            (without_frames, 400, "holds no frames"),
            (cut, 400, "truncated"),
        ],
    )
    def test_says_why_and_leaves_nothing(
        self, server: Server, tmp_path: Path, make: Callable[[Path], Path], status: int, reason: str
    ) -> None:
        answer = server.post("/video/submit", files={"file": make(tmp_path / "video.mp4").read_bytes()})
        assert answer.status_code == status
        assert list(answer.json()) == ["detail"]
        assert reason in answer.json()["detail"]
        assert server.leftovers() == ([], [])

    def test_larger_than_the_limit_by_its_own_account(self, make_server: ServerMaker) -> None:
        with make_server(REELWORK_MAX_UPLOAD_BYTES=1000) as server:
            answer = server.post("/video/submit", files={"file": bytes(200_000)})
            assert answer.status_code == 413
            assert "1000 bytes; REELWORK_MAX_UPLOAD_BYTES sets the limit" in answer.json()["detail"]
            assert server.leftovers() == ([], [])

    def test_larger_than_the_limit_without_saying_so(self, make_server: ServerMaker) -> None:
        async def endless() -> AsyncIterator[bytes]:
            yield part("file", b"", filename="a.mp4")[:-2]
            while True:
                yield bytes(1000)

        with make_server(REELWORK_MAX_UPLOAD_BYTES=10_000_000) as server:
            answer = server.post("/video/submit", content=endless(), headers=FORM_TYPE)
            assert answer.status_code == 413
            assert server.leftovers() == ([], [])


class TestRefusedParameters:
    @pytest.mark.parametrize("file_first", [True, False])
    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("frame_stride", "0", "frame_stride: Input should be greater than or equal to 1"),
            ("frame_stride", "two", "frame_stride: Input should be a valid integer"),
            ("max_frames", "-1", "max_frames: Input should be greater than or equal to 1"),
            ("pipeline_id", "shotz", "there is no analyzer 'shotz'; known analyzers: large, small"),
            ("pipeline_id", "large", "fetch them with: reelwork models pull large"),
            ("pipeline", "analyse", "no pipeline is called 'analyse'; installed: analyze, many, other"),
            ("stride", "2", "stride: Extra inputs are not permitted"),
        ],
    )
    def test_says_why_and_leaves_nothing(
        self, server: Server, video: bytes, field: str, value: str, reason: str, file_first: bool
    ) -> None:
        parts: list[Any] = [("file", ("clip.mp4", video)), (field, (None, value))]
        answer = server.post("/video/submit", files=parts if file_first else parts[::-1])
        assert answer.status_code == 400
        assert reason in answer.json()["detail"]
        assert server.leftovers() == ([], [])

    def test_those_before_the_file_are_refused_before_it_is_read(self, server: Server) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield part("frame_stride", b"0") + part("file", b"", filename="a.mp4")[:-2]
            raise AssertionError("the file was asked for")

        answer = server.post("/video/submit", content=body(), headers=FORM_TYPE)
        assert answer.status_code == 400
        assert server.leftovers() == ([], [])

    @pytest.mark.parametrize("key", ["", "k" * 256, "tab\tkey", "ключ".encode()])
    def test_an_idempotency_key_that_is_none(self, server: Server, video: bytes, key: str | bytes) -> None:
        answer = server.post("/video/submit", files={"file": video}, headers=httpx.Headers([("Idempotency-Key", key)]))
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("Idempotency-Key: String should")
        assert server.leftovers() == ([], [])


class TestSameIdempotencyKey:
    def test_one_after_the_other_is_the_same_job(self, server: Server, video: bytes) -> None:
        headers = {"Idempotency-Key": "order 7"}
        first = server.submit(video, headers=headers)
        assert server.submit(b"not even looked at", headers=headers) == first
        assert [job.job_id for job in server.ledger.jobs()] == [first]
        assert server.submit(video, headers={"Idempotency-Key": "order 8"}) != first

    def test_at_the_same_instant_is_the_same_job(self, server: Server, video: bytes) -> None:
        answers = submit_together(server, video, submits=4)
        (job,) = server.ledger.jobs()
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["job_id"] for answer in answers} == {job.job_id}
        frame_index = frame_index_key(job.parameters["input"]["sha256"])  # by content: one for all that were sent
        assert sorted(server.objects.keys("")) == sorted([job.input_path, frame_index])
        assert len(server.ledger.outbox(job.job_id)) == 1


def submit_together(server: Server, video: bytes, *, submits: int) -> list[httpx.Response]:
    """From threads of their own; each body ends only when all of them have passed the look for an earlier job."""
    all_arrived = threading.Barrier(submits)

    async def body() -> AsyncIterator[bytes]:
        yield part("file", video, filename="a.mp4")
        await asyncio.to_thread(all_arrived.wait, 60)
        yield END

    def submit_one(_: int) -> httpx.Response:
        headers = {**FORM_TYPE, "Idempotency-Key": "order 7"}
        return server.post("/video/submit", content=body(), headers=headers)

    with ThreadPoolExecutor(submits) as threads:
        return list(threads.map(submit_one, range(submits)))


class TestBrokenUpload:
    @pytest.mark.parametrize("sent", [0, 100, 6_000_000])
    def test_a_client_that_goes_away_leaves_nothing(self, server: Server, sent: int) -> None:
        messages: Iterator[dict[str, Any]] = iter(
            [
                {
                    "type": "http.request",
                    "body": part("file", bytes(sent), filename="a.mp4")[:-2],
                    "more_body": True,
                },
                {"type": "http.disconnect"},
            ]
        )

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: dict[str, Any]) -> None: ...

        headers = [(b"host", b"127.0.0.1"), (b"content-type", FORM_TYPE["Content-Type"].encode())]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/video/submit",
            "raw_path": b"/video/submit",
            "query_string": b"",
            "headers": headers,
        }
        asyncio.run(server.app(scope, receive, send))  # type: ignore[arg-type]
        assert server.leftovers() == ([], [])
        assert server.state.uploads.taken == 0

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "broke off"),
            (b"hello", "not a well-formed multipart form"),
            (END, "holds no file"),
            (part("frame_stride", b"1") + END, "holds no file"),
            (part("file", b"x", filename="a.mp4"), "broke off"),
            (part("video", b"x", filename="a.mp4") + END, "in the field 'file', not in 'video'"),
            (part("file", b"x", filename="a.mp4") * 2 + END, "'file' twice"),
            (part("frame_stride", b"1") * 2 + END, "'frame_stride' twice"),
            (part("frame_stride", b"\xff") + END, "UTF-8"),
            (part("frame_stride", b"1" * 70_000) + END, "65536 bytes besides the file"),
            (b"".join(part(f"field{n}", b"") for n in range(2000)) + END, "65536 bytes besides the file"),
            (part("file", b"x", filename="a.mp4") + END + b" " * 70_000, "65536 bytes besides the file"),
            (f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n".encode() + END, "has no name"),
        ],
    )
    def test_a_form_that_is_none_says_why(self, server: Server, body: bytes, reason: str) -> None:
        answer = server.post("/video/submit", content=body, headers=FORM_TYPE)
        assert (answer.status_code, reason in answer.json()["detail"]) == (400, True), answer.text
        assert server.leftovers() == ([], [])

    @pytest.mark.parametrize("content_type", ["application/json", "video/mp4", "multipart/form-data", ""])
    def test_a_body_that_is_no_form(self, server: Server, content_type: str) -> None:
        answer = server.post("/video/submit", content=b"{}", headers={"Content-Type": content_type})
        assert answer.status_code == 415
        assert answer.json() == {"detail": "send the video as multipart/form-data, in the field 'file'"}


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a full disk, writes fail beyond this size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_to_be_one_and_leaves_nothing(server: Server) -> None:
    with files_no_larger_than(6_000_000):
        answer = server.post("/video/submit", files={"file": bytes(12_000_000)})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "the object store fails with" in answer.json()["detail"]
    assert server.leftovers() == ([], [])


def test_more_uploads_than_there_are_places_are_told_to_come_back(server: Server, video: bytes) -> None:
    server.state.uploads.taken = 16
    answer = server.post("/video/submit", files={"file": video})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json() == {"detail": "this server is busy with 16 uploads; try again in a moment"}
