"""Listing, detail and cancelling tell what the ledger holds, and change what they say they change."""

from __future__ import annotations

from uuid import uuid4

from reelwork.events import VideoRangeReady
from reelwork.ledger import AssetOutcome, AssetState, JobStatus, Work
from tests.unit.api.conftest import PARTS, Server, dead_letter, parts


class TestList:
    def test_pages_hold_every_job_once_newest_first(self, server: Server, video: bytes) -> None:
        job_ids = [server.submit(video) for _ in range(5)]
        pages, before = [], None
        while True:
            page = server.get("/jobs", params={"limit": 2, **({"before": before} if before else {})}).json()
            pages.append([job["job_id"] for job in page["jobs"]])
            before = page["next"]
            if before is None:
                break
        assert [len(page) for page in pages] == [2, 2, 1]
        listed = [job_id for page in pages for job_id in page]
        assert sorted(listed) == sorted(job_ids)
        assert listed == [job.job_id for job in server.ledger.jobs()]

    def test_filters(self, server: Server, video: bytes) -> None:
        pending, running, failed = (server.submit(video) for _ in range(3))
        other = server.submit(video, data={"pipeline": "other"})
        server.start(running)
        server.fail(failed, "no reason")

        def listed(query: str) -> set[str]:
            return {job["job_id"] for job in server.get(f"/jobs?{query}").json()["jobs"]}

        assert listed("status=running") == {running}
        assert listed("status=running&status=failed") == {running, failed}
        assert listed("pipeline=other") == {other}
        assert listed("pipeline=analyze&status=pending") == {pending}
        assert listed("pipeline=nothing") == set()

    def test_what_cannot_be_asked_for(self, server: Server) -> None:
        answers = [server.get(f"/jobs?{query}") for query in ("status=done", "limit=0", "limit=x", "limit=100000")]
        assert [answer.status_code for answer in answers] == [400] * 4
        assert answers[1].json() == {"detail": "limit: Input should be greater than or equal to 1"}
        assert server.get("/jobs?before=nobody").status_code == 404


class TestDetail:
    def test_of_a_new_job(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video, headers={"Idempotency-Key": "k"})
        job = server.ledger.job(job_id)
        detail = server.get(f"/jobs/{job_id}").json()
        assert detail.pop("created_at") == detail.pop("updated_at")
        assert detail == {
            "job_id": job_id,
            "status": "pending",
            "progress": 0.0,
            "pipeline": "analyze",
            "phase": None,
            "parameters": job.parameters,
            "idempotency_key": "k",
            "input_path": f"input/{job_id}/source.mp4",
            "output_path": None,
            "error_message": None,
            "phases": [{"name": "parts", "state": "waiting"}, {"name": "results", "state": "waiting"}],
            "stages": [],
            "conflicts": [],
            "dead_letters": [],
            "details": {"missing_frames": []},
        }

    def test_times_are_utc(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.ledger.commit(Work(stages=[parts(job_id, expected=0)], at_ms=1_700_000_000_123))
        (stage,) = server.get(f"/jobs/{job_id}").json()["stages"]
        assert stage["completed_at"] == "2023-11-14T22:13:20.123000Z"

    def test_of_a_job_on_which_much_went_wrong(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.start(job_id, expected=3)
        server.record(job_id, AssetOutcome("1", weight=10), AssetOutcome("2", state=AssetState.FAILED, error="noise"))
        server.ledger.commit(Work(stages=[parts(job_id, expected=2)], dead_letters=[dead_letter(job_id)]))
        server.record(job_id, AssetOutcome("3"))
        detail = server.get(f"/jobs/{job_id}").json()
        (stage,) = detail["stages"]
        assert (stage["stage"], stage["expected"], stage["done"], stage["failed"]) == (PARTS, 3, 2, 1)
        assert (stage["late"], stage["progress"], stage["weight"]) == (0, 1.0, 11)
        assert stage["fired"] == "settled: 2 of 3 done, 1 failed"
        (completion,) = [row.completion for row in server.ledger.stage_status(job_id)]
        assert completion is not None
        assert stage["completion"] == completion.payload()
        assert stage["completion"]["has_partial_completion"] is True
        (failed,) = stage["failed_assets"]
        assert (failed["asset_id"], failed["error"], failed["weight"], failed["late"]) == ("2", "noise", 1, False)
        (conflict,) = detail["conflicts"]
        assert (conflict["stage"], conflict["expected"], conflict["announced"]) == (PARTS, 3, 2)
        (letter,) = detail["dead_letters"]
        assert (letter["error"], letter["queue"], letter["attempts"]) == ("RuntimeError: out of luck", "q.tiny.jobs", 5)
        assert detail["details"] == {"missing_frames": [{"start": 2, "reason": "noise"}]}

    def test_phases_follow_the_job(self, server: Server, video: bytes) -> None:
        completed, cancelled, failed = (server.submit(video) for _ in range(3))

        def states(job_id: str) -> list[str]:
            return [phase["state"] for phase in server.get(f"/jobs/{job_id}").json()["phases"]]

        for job_id in (completed, cancelled, failed):
            server.start(job_id)
        assert states(completed) == ["running", "waiting"]
        server.complete(completed, b"[]")
        server.post(f"/jobs/{cancelled}/cancel")
        server.fail(failed, "no reason")
        assert states(completed) == ["completed", "completed"]
        assert states(cancelled) == ["cancelled", "waiting"]
        assert states(failed) == ["failed", "waiting"]


class TestStages:
    def test_of_an_open_stage(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.start(job_id, expected=3)
        server.record(job_id, AssetOutcome("1", weight=10), AssetOutcome("2", state=AssetState.FAILED, error="noise"))
        server.ledger.commit(Work(stages=[parts(job_id, expected=2)]))
        server.ledger.commit(Work(dead_letters=[dead_letter(job_id, stage=PARTS, queue="q.tiny.parts", error="noise")]))
        told = server.get(f"/jobs/{job_id}/stages").json()
        assert (told["job_id"], told["status"], told["phase"]) == (job_id, "running", "parts")
        (stage,) = told["stages"]
        counts = [stage[name] for name in ("stage", "expected", "done", "failed", "late", "weight", "fired")]
        assert counts == [PARTS, 3, 1, 1, 0, 10, None]
        assert stage["watermark"] == "in 15 min"
        assert [asset["error"] for asset in stage["failed_assets"]] == ["noise"]
        causes = [reason["cause"] for reason in stage["reasons"]]
        assert causes == ["too few arrived", "dead letters", "announcement in conflict"]
        assert {reason["is_stuck"] for reason in stage["reasons"]} == {False}
        (conflict,) = told["conflicts"]
        assert (conflict["expected"], conflict["announced"]) == (3, 2)

    def test_its_queues(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        told = server.get(f"/jobs/{job_id}/stages").json()
        assert told["stages"] == []
        assert [reason["found"] for reason in told["reasons"]] == ["1 message waits in q.tiny.jobs"]
        server.start(job_id)
        ready = VideoRangeReady(job_id=job_id, event_id=uuid4(), range_index=0, start=0, end=10)
        server.ledger.commit(Work(events=[ready]))
        (stage,) = server.get(f"/jobs/{job_id}/stages").json()["stages"]
        (queue,) = stage["queues"]
        assert queue.pop("oldest_waiting_at") is not None
        empty = {"abandoned": 0, "pausing": 0, "in_hand": 0}
        assert queue == {"queue": "q.tiny.parts", "waiting": 1, **empty}

    def test_of_a_complete_stage(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.start(job_id, expected=1)
        server.record(job_id, AssetOutcome("1"))
        server.record(job_id, AssetOutcome("2"))
        (stage,) = server.get(f"/jobs/{job_id}/stages").json()["stages"]
        assert (stage["fired"], stage["late"], stage["watermark"]) == ("all: 1 of 1 done", 1, None)
        assert (stage["reasons"], stage["queues"]) == ([], [])

    def test_of_nobody(self, server: Server) -> None:
        assert server.get("/jobs/nobody/stages").status_code == 404
        assert server.get("/jobs/a%20b/stages").status_code == 404


class TestCancel:
    def test_can_be_asked_for_twice(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.start(job_id)
        answers = [server.post(f"/jobs/{job_id}/cancel") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [answer.json()["status"] for answer in answers] == ["cancelled", "cancelled"]
        assert server.ledger.job(job_id).status is JobStatus.CANCELLED
        assert server.ledger.open_stages() == []
        assert [row.topic for row in server.ledger.outbox(job_id)].count("job.cancelled") == 1

    def test_of_a_job_that_is_over_is_refused(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.start(job_id)
        server.complete(job_id, b"[]")
        answer = server.post(f"/jobs/{job_id}/cancel")
        assert answer.status_code == 409
        assert "completed" in answer.json()["detail"]
        assert server.ledger.job(job_id).status is JobStatus.COMPLETED

    def test_of_nobody(self, server: Server) -> None:
        assert server.post("/jobs/nobody/cancel").status_code == 404
