"""A pipeline not of one video gets its files, or its parameters alone; what is refused leaves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.conftest import Server, ServerMaker

MANY: Any = ("pipeline", (None, "many"))


def picture(name: str, content: bytes = b"picture") -> Any:
    return ("pictures", (name, content))


class TestFiles:
    def test_are_stored_and_named_in_the_parameters(self, server: Server) -> None:
        parts = [MANY, picture("b.png", b"bb"), picture("a.png", b"a" * 300_000), ("clips", ("c.mp4", b"c"))]
        answer = server.post("/jobs", files=[*parts, ("colour", (None, "blue"))])
        assert answer.status_code == 201, answer.text
        (job,) = server.ledger.jobs()
        root = f"input/{job.job_id}"
        assert (job.pipeline, job.parameters) == (
            "many",
            {
                "pictures": [f"a.png at {root}/pictures/00001", f"b.png at {root}/pictures/00000"],
                "clips": [f"c.mp4 at {root}/clips/00000"],
                "colour": "blue",
            },
        )
        assert server.objects.get(f"{root}/pictures/00001") == b"a" * 300_000

    def test_of_one_name_are_all_kept(self, server: Server) -> None:
        server.post("/jobs", files=[MANY, picture("a.png", b"1"), picture("a.png", b"2"), picture("b.png", b"3")])
        (job,) = server.ledger.jobs()
        assert [text.partition(" at ")[0] for text in job.parameters["pictures"]] == ["a.png", "a.png (2)", "b.png"]

    @pytest.mark.parametrize(
        ("parts", "reason"),
        [
            ([MANY, ("clips", ("c.mp4", b"c"))], "pictures: Field required"),
            ([MANY, picture("a"), ("shape", (None, "round"))], "shape: Extra inputs"),
            ([MANY, picture("a"), ("file", ("clip.mp4", b"c"))], "the field 'file' is for one video"),
            ([MANY, ("file", ("clip.mp4", b"c")), picture("a")], "many takes its files in clips, pictures"),
            ([MANY, ("pictures", (None, "folder")), ("file", ("clip.mp4", b"c"))], "not in 'file'"),
            ([("pipeline", (None, "other")), ("file", ("clip.mp4", b"c")), picture("a")], "'pictures' twice"),
            ([MANY, ("sounds", ("c.mp3", b"c"))], "not in 'sounds'"),
            ([MANY, picture("a"), ("clips", (None, "folder"))], None),
            ([("pipeline", (None, "analyze")), picture("a")], "analyze takes no files in the field 'pictures'"),
            ([picture("a")], "analyze takes no files in the field 'pictures'"),
        ],
    )
    def test_that_do_not_belong_are_refused(self, server: Server, parts: list[Any], reason: str | None) -> None:
        answer = server.post("/jobs", files=parts)
        assert answer.status_code == 400, answer.text
        assert reason is None or reason in answer.json()["detail"]
        assert server.leftovers() == ([], [])

    def test_are_limited_together(self, make_server: ServerMaker) -> None:
        with make_server(REELWORK_MAX_UPLOAD_BYTES=100_000) as server:
            parts = [MANY, picture("a", bytes(70_000)), picture("b", bytes(70_000))]
            answer = server.post("/jobs", files=parts)
            assert answer.status_code == 413
            assert "100000 bytes; REELWORK_MAX_UPLOAD_BYTES sets the limit" in answer.json()["detail"]
            assert server.leftovers() == ([], [])

    def test_with_the_same_key_are_one_job(self, server: Server) -> None:
        headers = {"Idempotency-Key": "once"}
        answers = [server.post("/jobs", files=[MANY, picture("a")], headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 200]
        assert len(server.ledger.jobs()) == 1
        assert len([path for path in server.stored_files() if path.is_file()]) == 1

    def test_are_for_jobs_not_for_the_video_endpoint(self, server: Server) -> None:
        answer = server.post("/video/submit", files=[MANY, picture("a")])
        assert answer.json() == {"detail": "send the video in the field 'file', not in 'pictures'"}


class TestParametersAlone:
    def test_make_a_job(self, server: Server) -> None:
        answer = server.post("/jobs", json={"pipeline": "many", "pictures": ["https://example.org/a.png"]})
        assert answer.status_code == 201, answer.text
        (job,) = server.ledger.jobs()
        assert (job.pipeline, job.parameters["pictures"]) == ("many", ["https://example.org/a.png"])
        assert answer.headers["Location"] == f"/jobs/{job.job_id}"

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"{", "not JSON"),
            (b"[" * 60_000, "not JSON"),
            (b"[]", "the field 'pipeline'"),
            (b'{"pictures": []}', "the field 'pipeline'"),
            (b'{"pipeline": "none"}', "no pipeline is called 'none'"),
            (b'{"pipeline": "many"}', "pictures: Field required"),
            (b'{"pipeline": "analyze"}', "analyze works on a video"),
            (b" " * 70_000, "larger than 65536 bytes"),
        ],
    )
    def test_that_are_none_say_why(self, server: Server, body: bytes, reason: str) -> None:
        answer = server.post("/jobs", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
        assert (answer.status_code, reason in answer.json()["detail"]) == (400, True), answer.text
        assert server.leftovers() == ([], [])
