"""The doctor finds what is stuck in a database that is there, says why, and names the way out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from reelwork.cli.app import run
from reelwork.cli.checkup import Finding, Health
from reelwork.cli.stuck_jobs import FINDINGS_TOLD_MAX, stuck_jobs
from reelwork.events import VideoSubmitted
from reelwork.ledger import (
    AssetOutcome,
    AssetState,
    JobMove,
    JobStatus,
    NewDeadLetter,
    NewJob,
    Work,
    open_ledger,
)
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.world import World
from reelwork.settings import Config

WATERMARKED = "own.items"
"""No pipeline declares it, so the default policy holds for it."""

Changes = Callable[[Backends], None]


def config_in(folder: Path) -> Config:
    return Config().model_copy(update={"REELWORK_DATA_DIR": folder})


def an_hour_ago(folder: Path, change: Changes) -> Config:
    """Makes a database and changes it, as it was done an hour ago."""
    config = config_in(folder)

    async def make() -> None:
        from time import time

        backends = await open_backends(config, world=World(clock=lambda: time() - 3_600))
        try:
            change(backends)
        finally:
            await backends.close()

    asyncio.run(make())
    return config


def start(backends: Backends) -> str:
    job_id = str(uuid4())
    backends.ledger.commit(Work(new_job=NewJob(job_id=job_id, pipeline="analyze", input_path="input")))
    move = JobMove(job_id=job_id, allowed=frozenset({JobStatus.PENDING}), to=JobStatus.RUNNING, phase="analysis")
    backends.ledger.commit(Work(moves=[move]))
    return job_id


def announce(backends: Backends, job_id: str, expected: int, stage: str = RANGES_STAGE) -> None:
    backends.ledger.commit(Work(stages=[backends.stages.announcement(job_id, stage, expected)]))


def record(backends: Backends, job_id: str, state: AssetState, stage: str = RANGES_STAGE) -> None:
    outcome = AssetOutcome("1", state, error="torn" if state is AssetState.FAILED else None)
    backends.ledger.commit(Work(stages=[backends.stages.outcomes(job_id, stage, [outcome])]))


def without_workers(backends: Backends) -> None:
    backends.ledger.commit(
        Work(
            new_job=NewJob(job_id="11111111-0000-4000-8000-000000000000", pipeline="analyze", input_path="input"),
            events=[VideoSubmitted(job_id="11111111-0000-4000-8000-000000000000")],
        )
    )


def never_announced(backends: Backends) -> None:
    record(backends, start(backends), AssetState.DONE)


def too_few(backends: Backends) -> None:
    job_id = start(backends)
    announce(backends, job_id, 3)
    record(backends, job_id, AssetState.DONE)


def not_swept(backends: Backends) -> None:
    announce(backends, start(backends), 3, WATERMARKED)


def nothing_came(backends: Backends) -> None:
    start(backends)


def buried(backends: Backends) -> None:
    job_id = start(backends)
    announce(backends, job_id, 3)
    record(backends, job_id, AssetState.FAILED)
    letter = NewDeadLetter(
        job_id=job_id,
        queue="q.analyzer.ranges",
        topic="video.range.ready",
        event_id="e",
        body="{}",
        error="range 1 is torn",
        attempts=5,
        stage=RANGES_STAGE,
    )
    backends.ledger.commit(Work(dead_letters=[letter]))


@pytest.mark.parametrize(
    ("change", "found", "fix"),
    [
        (without_workers, "no worker: 1 message waits in q.analyze.jobs", "`reelwork worker planner`"),
        (never_announced, "never announced: 1 assets came", "send the announcement (video.ranges.batch)"),
        (too_few, "too few arrived: 1 of 3 announced assets arrived", "send the missing assets"),
        (not_swept, "not swept: its watermark has passed since 45 min", "reelwork serve"),
        (nothing_came, "nothing came: phase analysis waits for stage video.ranges", "reelwork dead-letters list --job"),
        (buried, "dead letters: 1 of its messages failed for good: range 1 is torn", "dead-letters replay --job"),
    ],
)
def test_what_is_stuck(tmp_path: Path, change: Changes, found: str, fix: str) -> None:
    config = an_hour_ago(tmp_path, change)
    broken = [finding for finding in stuck_jobs(config) if finding.health is Health.BROKEN]
    (finding,) = [each for each in broken if each.found.startswith(found)]
    assert finding.fix is not None
    assert fix in finding.fix
    patient = stuck_jobs(config, stuck_after_seconds=86_400)
    assert [each for each in patient if each.health is Health.BROKEN] == []


def test_events_that_nobody_publishes(tmp_path: Path) -> None:
    """Recorded by a process that has no broker in this database."""
    config = an_hour_ago(tmp_path, lambda _: None)
    ledger = open_ledger(config.database_url, clock=lambda: 1_000.0)
    new = NewJob(job_id="a", pipeline="analyze", input_path="input")
    ledger.commit(Work(new_job=new, events=[VideoSubmitted(job_id="a")]))
    ledger.close()
    (finding,) = stuck_jobs(config)
    assert finding.health is Health.BROKEN
    assert finding.found.startswith("not published: events wait since")
    assert finding.fix is not None
    assert "reelwork serve" in finding.fix


def test_a_failed_job_is_noted_where_a_replay_can_mend_it(tmp_path: Path) -> None:
    def fail(backends: Backends) -> None:
        for change in (buried, too_few):
            change(backends)
        move = {"allowed": frozenset({JobStatus.RUNNING}), "to": JobStatus.FAILED, "error_message": "short"}
        for job in backends.ledger.jobs():
            backends.ledger.commit(Work(moves=[JobMove(job_id=job.job_id, **move)]))

    summary, *found = stuck_jobs(an_hour_ago(tmp_path, fail))
    assert (summary.health, summary.found) == (Health.FINE, "2 looked at, none stuck")
    assert {finding.health for finding in found} == {Health.NOTED}
    assert any("missing: 1 (torn), 2 that never arrived" in finding.found for finding in found)
    assert all("dead-letters replay" in str(finding.fix) for finding in found)


def test_a_database_in_order(tmp_path: Path) -> None:
    def finish(backends: Backends) -> None:
        backends.ledger.commit(Work(new_job=NewJob(job_id="a", pipeline="analyze", input_path="input")))
        move = JobMove(job_id="a", allowed=frozenset({JobStatus.PENDING}), to=JobStatus.CANCELLED)
        backends.ledger.commit(Work(moves=[move]))

    config = an_hour_ago(tmp_path, finish)
    assert stuck_jobs(config) == [Finding("jobs", Health.FINE, "0 looked at, none stuck")]


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert stuck_jobs(config_in(tmp_path / "none")) == []
    assert list(tmp_path.iterdir()) == []


def test_of_very_many_the_first_are_told(tmp_path: Path) -> None:
    def many(backends: Backends) -> None:
        for _ in range(FINDINGS_TOLD_MAX + 3):
            start(backends)

    found = stuck_jobs(an_hour_ago(tmp_path, many))
    assert len(found) == FINDINGS_TOLD_MAX + 1
    assert found[-1].found == "3 more findings about jobs are not told"


def test_the_command_ends_with_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = an_hour_ago(tmp_path, too_few)
    arguments = ["doctor", "--data", str(config.REELWORK_DATA_DIR), "--json"]
    assert run(arguments) == 1
    document = json.loads(capsys.readouterr().out)
    (finding,) = [each for each in document["findings"] if each["health"] == "broken"]
    assert finding["subject"].endswith(f"stage {RANGES_STAGE}")
    assert run([*arguments, "--stuck-after", "86400"]) == 0
