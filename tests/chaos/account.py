"""What must hold when all is over, read from the rows, the results and the diary; and what the blows have cost."""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reelwork.events import JobCompleted, JobFailed
from reelwork.ledger import AssetState, JobStatus, Ledger
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from tests.chaos import mosaic
from tests.chaos.customer import Customer, Order
from tests.chaos.diary import Call
from tests.chaos.fleet import Blow, now_ms

Work = tuple[str, str, str]
BLAMED: Final = re.compile(r"its worker died \d+ times")
"""The one error that kills may cause: whoever is at hand at three deaths in a row cannot be told from their cause."""
ONE_EACH: Final = (*mosaic.COMPLETIONS, *mosaic.EFFECTS.values(), mosaic.MosaicSubmitted.topic, JobCompleted.topic)


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """After the blows of one name. lasted: seconds from the begin to the end of each, where it has an end. again:
    seconds from that end until every machine that it hit has begun work anew. progress: seconds from each begin to the
    next asset or effect that anybody records. work_in_hand: seconds from the death of a process to the record of all
    that it had begun, where it had begun any.
    """

    blows: int
    lasted: Sequence[float]
    again: Sequence[float]
    progress: Sequence[float]
    work_in_hand: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Figures:
    jobs: int
    assets: int
    completions: int
    kills: int
    other_blows: int
    handled_twice: int
    completions_delivered_twice: int
    requests_repeated: int
    starts_refused: int
    jobs_replayed: int
    recovery: Mapping[str, Recovery]


def check_job(ledger: Ledger, job_id: str, order: Order, *, was_replayed: bool) -> None:
    """One completion a stage, one effect at each consumer, every asset counted once."""
    job = ledger.job(job_id)
    assert job.status is JobStatus.COMPLETED, job
    assert job.idempotency_key == order.key
    topics = Counter(row.topic for row in ledger.outbox(job_id) if not row.is_replay)
    if was_replayed:
        assert topics.pop(JobFailed.topic) >= 1
    assert topics == events_of(order, expected_ranges=_announced(ledger, job_id)), topics
    for stage in ledger.stage_status(job_id):
        states = Counter(asset.state for asset in ledger.assets(job_id, stage.stage))
        assert states == {AssetState.DONE: stage.expected}, (stage, states)
        assert (stage.done, stage.failed, stage.late) == (stage.expected, 0, 0), stage
        assert stage.completion is not None
        assert (stage.completion.total_assets, stage.completion.processed_assets) == (stage.expected, stage.expected)
    assert ledger.conflicts(job_id) == []


def events_of(order: Order, *, expected_ranges: int) -> Mapping[str, int]:
    """What a job to which nothing happened publishes, and how often."""
    if order.tiles is None:
        once = ("video.submitted", "video.ranges.batch", "video.ranges.completed", "job.completed")
        return {**dict.fromkeys(once, 1), "video.range.ready": expected_ranges}
    names = mosaic.tile_names(order.tiles)
    return {
        **dict.fromkeys(ONE_EACH, 1),
        mosaic.TilesReady.topic: len(list(mosaic.tile_messages(order.tiles))),
        mosaic.MarksReady.topic: sum(len(mosaic.mark_messages(name)) for name in names),
    }


def _announced(ledger: Ledger, job_id: str) -> int:
    return sum(stage.expected or 0 for stage in ledger.stage_status(job_id) if stage.stage == RANGES_STAGE)


def figures(
    ledger: Ledger,
    customer: Customer,
    blows: Sequence[Blow],
    calls: Sequence[Call],
    *,
    replayed: frozenset[str],
    starts_refused: int,
) -> Figures:
    """replayed: the jobs that a replay had to bring back; what they had in hand does not tell of the blows.
    starts_refused: how often a parent found no database when it started.
    """
    recorded = recorded_at(ledger, customer.jobs, since_ms=min((call.at for call in calls), default=0))
    times = Counter(call.work for call in calls)
    twice = {work: times - 1 for work, times in times.items()}
    return Figures(
        jobs=len(customer.jobs),
        assets=sum(stage.done for job_id in customer.jobs for stage in ledger.stage_status(job_id)),
        completions=sum(
            stage.completion is not None for job_id in customer.jobs for stage in ledger.stage_status(job_id)
        ),
        kills=sum(bool(blow.pids) for blow in blows),
        other_blows=sum(not blow.pids for blow in blows),
        handled_twice=sum(twice.values()),
        completions_delivered_twice=sum(more for (_, what, _), more in twice.items() if what in mosaic.COMPLETIONS),
        requests_repeated=customer.repeated,
        starts_refused=starts_refused,
        jobs_replayed=len(replayed),
        recovery={
            name: _recovery([blow for blow in blows if blow.name == name], calls, recorded, replayed)
            for name in sorted({blow.name for blow in blows})
        },
    )


def _recovery(
    blows: Sequence[Blow], calls: Sequence[Call], recorded: Mapping[Work, int], replayed: frozenset[str]
) -> Recovery:
    news = sorted(recorded.values())
    progress = [(news[place] - blow.at) / 1000 for blow in blows if (place := bisect(news, blow.at)) < len(news)]
    lost = [ms / 1000 for blow in blows if (ms := work_in_hand(blow, calls, recorded, replayed)) is not None]
    ended = [blow for blow in blows if blow.machines]
    return Recovery(
        blows=len(blows),
        lasted=[(blow.over_at - blow.at) / 1000 for blow in ended],
        again=[ms / 1000 for blow in ended if (ms := all_work_again(blow, calls)) is not None],
        progress=progress,
        work_in_hand=lost,
    )


def all_work_again(blow: Blow, calls: Sequence[Call]) -> int | None:
    """Milliseconds from the end of a blow until each machine that it hit has begun something; None where one has not
    until the end of the run.
    """
    first: dict[str, int] = {}
    for call in calls:
        if call.at > blow.over_at and call.machine in blow.machines:
            first[call.machine] = min(call.at, first.get(call.machine, call.at))
    return max(first.values()) - blow.over_at if first.keys() == blow.machines else None


def recorded_at(ledger: Ledger, job_ids: Iterable[str], *, since_ms: int) -> dict[Work, int]:
    """Epoch ms at which each work was recorded: every asset, and every event's effect. Not of those that a machine
    recorded whose clock was wrong.
    """
    causes = {effect: topic for topic, effect in mosaic.EFFECTS.items()}
    times: dict[Work, int] = {}
    for job_id in job_ids:
        for stage in ledger.stage_status(job_id):
            for asset in ledger.assets(job_id, stage.stage):
                times[job_id, stage.stage, asset.asset_id] = asset.recorded_at
        for row in ledger.outbox(job_id):
            if row.topic in causes:
                times[job_id, causes[row.topic], mosaic.NO_ASSET] = row.created_at
    until_ms = now_ms()
    return {work: at for work, at in times.items() if since_ms <= at <= until_ms}


def work_in_hand(
    blow: Blow, calls: Sequence[Call], recorded: Mapping[Work, int], replayed: frozenset[str]
) -> int | None:
    """Milliseconds until all was recorded that the dead had begun and not recorded; None where there was nothing."""
    begun = {
        call.work for call in calls if call.pid in blow.pids and call.at <= blow.at and call.job_id not in replayed
    }
    lost = [recorded[work] for work in begun if recorded.get(work, 0) > blow.at]
    return max(lost) - blow.at if lost else None
