"""Dead letters are found by what is asked, page by page, and replayed once, one or many."""

from __future__ import annotations

import pytest

from reelwork.ledger import JobStatus, Work
from tests.unit.api.conftest import PARTS, Server, dead_letter


def bury(server: Server, job_id: str, *errors: str) -> list[int]:
    """Numbers of new dead letters with these errors, each of another message, oldest first."""
    letters = [
        dead_letter(job_id, error=error, event_id=f"event-{number}-of-{job_id}") for number, error in enumerate(errors)
    ]
    server.ledger.commit(Work(dead_letters=letters))
    return [letter.dead_letter_id for letter in server.ledger.dead_letters(limit=len(errors))][::-1]


class TestList:
    def test_are_listed_newest_first(self, server: Server, video: bytes) -> None:
        job_ids = [server.submit(video) for _ in range(2)]
        for job_id in job_ids:
            server.ledger.commit(Work(dead_letters=[dead_letter(job_id)]))

        def listed(query: str = "") -> list[str]:
            return [letter["job_id"] for letter in server.get(f"/dead-letters{query}").json()["dead_letters"]]

        assert listed() == job_ids[::-1]
        assert listed("?limit=1") == job_ids[1:]
        assert listed(f"?job_id={job_ids[0]}") == job_ids[:1]
        assert server.get("/dead-letters?job_id=nobody").status_code == 404

    def test_by_what_is_asked(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        bury(server, job_id, "Timeout", "100% lost")
        of_stage = dead_letter(job_id, stage=PARTS, queue="q.tiny.parts", error="torn")
        server.ledger.commit(Work(dead_letters=[of_stage]))
        server.post("/dead-letters/1/replay")

        def errors(**query: object) -> list[str]:
            return [letter["error"] for letter in server.get("/dead-letters", params=query).json()["dead_letters"]]

        assert errors(stage=PARTS) == errors(queue="q.tiny.parts") == ["torn"]
        assert errors(error="timeOUT") == ["Timeout"]
        assert errors(error="0%") == ["100% lost"]
        assert errors(error="%") == ["100% lost"]
        assert errors(replayed=True) == ["Timeout"]
        assert errors(replayed=False, job_id=job_id) == ["torn", "100% lost"]

    def test_pages_hold_every_letter_once(self, server: Server, video: bytes) -> None:
        numbers = bury(server, server.submit(video), *"abcde")
        pages, before = [], {}
        while True:
            page = server.get("/dead-letters", params={"limit": 2, **before}).json()
            pages.append([letter["dead_letter_id"] for letter in page["dead_letters"]])
            if page["next"] is None:
                break
            before = {"before": page["next"]}
        assert pages == [numbers[4:2:-1], numbers[2:0:-1], numbers[:1]]

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=100000", "before=0", f"before={2**63}", "jobid=a", "error=", "error=%00"]
    )
    def test_what_cannot_be_asked_for(self, server: Server, query: str) -> None:
        assert server.get(f"/dead-letters?{query}").status_code == 400


class TestOne:
    def test_a_replay_goes_to_its_queue_and_sets_the_job_running(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.ledger.commit(Work(dead_letters=[dead_letter(job_id)]))
        server.fail(job_id, "out of luck")
        (letter,) = server.get("/dead-letters").json()["dead_letters"]
        answer = server.post(f"/dead-letters/{letter['dead_letter_id']}/replay")
        assert (answer.status_code, answer.json()) == (202, {"dead_letter_id": letter["dead_letter_id"]})
        assert server.ledger.job(job_id).status is JobStatus.RUNNING
        assert [row.queue for row in server.ledger.outbox(job_id) if row.is_replay] == ["q.tiny.jobs"]
        (letter,) = server.get("/dead-letters").json()["dead_letters"]
        assert letter["replayed_at"] is not None
        again = server.post(f"/dead-letters/{letter['dead_letter_id']}/replay")
        assert again.status_code == 409
        assert "was replayed already" in again.json()["detail"]

    def test_that_are_none(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.ledger.commit(Work(dead_letters=[dead_letter(job_id)]))
        numbers = ["0", "-1", "2", "9" * 30]
        assert [server.post(f"/dead-letters/{n}/replay").status_code for n in numbers] == [404] * 4
        assert [server.get(f"/dead-letters/{n}").status_code for n in numbers] == [404] * 4
        assert server.post("/dead-letters/first/replay").status_code == 400

    def test_of_a_cancelled_job_are_not_replayed(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        server.ledger.commit(Work(dead_letters=[dead_letter(job_id)]))
        server.post(f"/jobs/{job_id}/cancel")
        assert server.post("/dead-letters/1/replay").status_code == 409

    def test_is_shown_whole(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        (number,) = bury(server, job_id, "x" * 2000)
        letter = server.get(f"/dead-letters/{number}").json()
        assert (letter["error"], letter["body"]) == ("x" * 2000, f'{{"job_id":"{job_id}"}}')
        assert (letter["attempts"], letter["stage"], letter["replayed_at"]) == (5, None, None)


class TestMany:
    def test_only_those_that_are_meant_and_each_once(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        first, _, third = bury(server, job_id, "torn here", "out of luck", "TORN there")
        order = {"job_id": job_id, "error": "torn"}
        answer = server.post("/dead-letters/replay", json=order)
        assert (answer.status_code, answer.json()) == (202, {"replayed": 2, "refused": [], "next": None})
        assert {n.dead_letter_id for n in server.ledger.dead_letters(replayed=True)} == {first, third}
        assert server.post("/dead-letters/replay", json=order).json()["replayed"] == 0
        assert len([row for row in server.ledger.outbox(job_id) if row.is_replay]) == 2

    def test_batch_by_batch(self, server: Server, video: bytes) -> None:
        job_id = server.submit(video)
        bury(server, job_id, *"abcde")
        order, replayed = {"all": True, "limit": 2}, []
        while True:
            batch = server.post("/dead-letters/replay", json=order).json()
            replayed.append(batch["replayed"])
            if batch["next"] is None:
                break
            order["before"] = batch["next"]
        assert replayed == [2, 2, 1]
        assert server.ledger.dead_letters(replayed=False) == []

    def test_what_is_refused_is_told_and_holds_up_nobody(self, server: Server, video: bytes) -> None:
        cancelled, running = server.submit(video), server.submit(video)
        (number,) = bury(server, cancelled, "torn")
        bury(server, running, "torn")
        server.post(f"/jobs/{cancelled}/cancel")
        batch = server.post("/dead-letters/replay", json={"error": "torn"}).json()
        assert batch["replayed"] == 1
        (refused,) = batch["refused"]
        assert (refused["dead_letter_id"], refused["job_id"]) == (number, cancelled)
        assert "is cancelled" in refused["reason"]

    def test_nothing_is_replayed_by_mistake(self, server: Server, video: bytes) -> None:
        """Without a filter, or with one that is misspelt."""
        bury(server, server.submit(video), "torn")
        for order in ({}, {"limit": 5}, {"eror": "torn", "all": True}, {"error": ""}, {"error": "\0"}, {"limit": 0}):
            assert server.post("/dead-letters/replay", json=order).status_code == 400, order
        assert server.post("/dead-letters/replay", json={"job_id": "nobody"}).status_code == 404
        assert server.ledger.dead_letters(replayed=True) == []

    def test_sets_the_failed_jobs_running(self, server: Server, video: bytes) -> None:
        job_ids = [server.submit(video) for _ in range(3)]
        for job_id in job_ids:
            bury(server, job_id, "out of luck")
            server.fail(job_id, "out of luck")
        assert server.post("/dead-letters/replay", json={"all": True}).json()["replayed"] == 3
        assert {server.ledger.job(job_id).status for job_id in job_ids} == {JobStatus.RUNNING}
