"""A range that fails for good is found, shown and replayed by commands, by real workers; nothing fires twice."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from reelwork.ledger import NewDeadLetter, NewJob, StageStatus, Work, open_ledger
from reelwork.ledger.sql import SqlLedger
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from tests.clips import write_clip
from tests.e2e.commands import Ended, reelwork, running
from tests.switchboard import REPOSITORY

FRAMES, TORN_FRAME = 300, 200
REPLAY_SECONDS_MAX = 60.0
ANALYZER = f"""
import os
from pydantic import BaseModel
from reelwork.errors import PermanentError
from reelwork.pipelines.analyze.analyzers import FrameAnalyzer

class Nothing(BaseModel):
    pass

class Torn(FrameAnalyzer[Nothing]):
    name = "torn"
    result = Nothing

    def analyze(self, frame):
        if frame.index == {TORN_FRAME} and not os.path.exists(os.environ["MENDED"]):
            raise PermanentError("a frame is TORN")
        return Nothing()
"""


@dataclass(frozen=True)
class Shop:
    """A server whose analyzer breaks on one frame until `mend`."""

    url: str
    ledger: SqlLedger
    mended: Path
    clip: Path

    def __call__(self, *arguments: str | Path) -> Ended:
        return reelwork(*arguments, "--url", self.url, "--json")

    def mend(self) -> None:
        self.mended.touch()

    def stage(self, job_id: str) -> StageStatus:
        return next(stage for stage in self.ledger.stage_status(job_id) if stage.stage == RANGES_STAGE)

    def wait_for_late(self, job_id: str, late: int) -> StageStatus:
        """Hears of every commit; a ring that is lost costs half a second."""
        deadline = time.monotonic() + REPLAY_SECONDS_MAX
        with contextlib.closing(self.ledger.database.listen()) as listener:
            while (stage := self.stage(job_id)).late < late:
                assert time.monotonic() < deadline, stage
                select.select([listener], [], [], 0.5)
                listener.take()
        return stage


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "torn.py").write_text(ANALYZER)
    metadata = tmp_path / "torn-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torn\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[reelwork.analyzers]\ntorn = torn:Torn\n")
    clip = write_clip(tmp_path / "clip.mp4", frames=FRAMES)
    data, mended = tmp_path / "data", tmp_path / "mended"
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}", "MENDED": str(mended)}
    with running(["serve", "--data", data, "--port", "0", "--workers", "1"], environment=environment) as server:
        ledger = open_ledger(f"sqlite:///{data}/reelwork.db")
        try:
            yield Shop(server.told["url"], ledger, mended, clip)
        finally:
            ledger.close()


def test_a_range_that_failed_is_replayed_late_and_the_stage_fires_no_more(shop: Shop) -> None:
    job_id = shop("submit", shop.clip, "--pipeline-id", "torn").document["job_id"]
    assert shop("wait", job_id, "--timeout", "90").document["status"] == "completed"
    (letter,) = shop("dead-letters", "list", "--job", job_id, "--stage", RANGES_STAGE, "--error", "torn").document
    assert shop("dead-letters", "list", "--error", "to_n").document == []
    number = str(letter["dead_letter_id"])
    assert shop("dead-letters", "show", number).document == letter
    assert "a frame is TORN" in letter["error"]
    assert "TORN" in reelwork("dead-letters", "show", number, "--url", shop.url).stdout

    shop.mend()
    chosen = ("dead-letters", "replay", "--job", job_id, "--error", "torn")
    unasked = shop(*chosen)
    assert (unasked.status, "--yes" in unasked.document["error"]) == (2, True)
    assert shop(*chosen, "--dry-run").document == {"would_replay": [letter]}
    before = shop.stage(job_id)
    assert (before.late, before.failed) == (0, 1)
    assert shop(*chosen, "--yes").document == {"replayed": 1, "refused": []}
    after = shop.wait_for_late(job_id, 1)
    assert (after.done, after.failed, after.late) == (before.done + 1, 0, 1)
    assert after.completion == before.completion
    topics = [row.topic for row in shop.ledger.outbox(job_id) if not row.is_replay]
    assert topics.count("video.ranges.completed") == 1
    assert topics.count("job.completed") == 1

    assert shop(*chosen, "--yes").document == {"replayed": 0, "refused": []}
    assert shop("dead-letters", "replay", number).status == 2
    assert shop("dead-letters", "list", "--replayed").document[0]["replayed_at"] is not None
    refused = httpx.post(f"{shop.url}/dead-letters/replay", json={}, trust_env=False)
    assert (refused.status_code, "all=true" in refused.json()["detail"]) == (400, True)


def test_very_many_are_replayed_in_batches_and_what_is_refused_is_told(tmp_path: Path) -> None:
    with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "0"]) as server:
        ledger = open_ledger(f"sqlite:///{tmp_path}/reelwork.db")
        for job_id, count in (("alive", 450), ("cancelled", 2)):
            letters = [dead_letter(job_id, number) for number in range(count)]
            ledger.commit(Work(new_job=NewJob(job_id=job_id, pipeline="analyze", input_path="input")))
            ledger.commit(Work(dead_letters=letters))
        httpx.post(f"{server.told['url']}/jobs/cancelled/cancel", trust_env=False).raise_for_status()
        url = ("--url", server.told["url"])
        assert len(reelwork("dead-letters", "list", *url, "--json").document) == 100
        assert len(reelwork("dead-letters", "list", "--all", *url, "--json").document) == 452
        ended = reelwork("dead-letters", "replay", "--error", "torn", "--yes", *url)
        assert ended.status == 1
        assert "450 dead letters are on their way again." in ended.stdout
        assert "replaying: " in ended.stderr
        assert "is cancelled; its messages are not replayed" in ended.stderr
        assert len(ledger.dead_letters(replayed=True, limit=1_000)) == 450
        again = reelwork("dead-letters", "replay", "--all", "--yes", *url, "--json")
        assert (again.status, again.document["replayed"], len(again.document["refused"])) == (1, 0, 2)
        ledger.close()


def dead_letter(job_id: str, number: int) -> NewDeadLetter:
    return NewDeadLetter(
        job_id=job_id,
        queue="q.analyze.jobs",
        topic="video.submitted",
        event_id=f"{job_id}-{number}",
        body=f'{{"job_id":"{job_id}"}}',
        error=f"message {number} is torn",
        attempts=5,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay",), "say which"),
        (("replay", "1", "--all"), "either an ID"),
        (("show", "1"), "there is no dead letter 1"),
        (("replay", "--job", "nobody"), "no job has the id nobody"),
        (("list", "--limit", "0"), "--limit"),
    ],
)
def test_what_cannot_be_asked_for(server_url: str, arguments: tuple[str, ...], words: str) -> None:
    ended = reelwork("dead-letters", *arguments, "--url", server_url, "--json")
    assert (ended.status, words in ended.document["error"]) == (2, True), ended


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("server")
    with running(["serve", "--data", data, "--port", "0", "--workers", "0"]) as server:
        yield server.told["url"]
