"""An independent model of what must hold, looked at after every commit: it reads the rows that were written.

It must never ask the ledger's own rules.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from reelwork.events import completion_event_id
from reelwork.ledger import Completion, CompletionPolicy, Work
from tests.simulation.history import History, Violation
from tests.simulation.scenario import Scenario
from tests.simulation.store import Eye

STAGE = """SELECT expected, done, failed, late, done_weight, created_at, completed_at, closed_at, completion
FROM stages WHERE job_id = ? AND stage = ?"""
ASSETS = """SELECT state, late, count(*), sum(weight) FROM assets WHERE job_id = ? AND stage = ? GROUP BY state, late"""
INBOX = "SELECT 1 FROM inbox WHERE queue = ? AND event_id = ?"
ASSET = "SELECT 1 FROM assets WHERE job_id = ? AND stage = ? AND asset_id = ?"
LETTER = "SELECT queue, event_id FROM dead_letters WHERE dead_letter_id = ?"
LETTERS = """SELECT count(*), count(CASE WHEN replayed_at IS NULL THEN 1 END) FROM dead_letters
WHERE queue = ? AND event_id = ?"""
FAILURES = "SELECT count(*) FROM outbox WHERE job_id = ? AND topic = 'job.failed' AND queue IS NULL"
RELAY = "SELECT owner FROM leases WHERE name = 'relay'"
JOBS = "SELECT job_id, status, failed_stage, error_message, phase FROM jobs"
PHASES = (None, "first", "second", "last")
BARRIERS = {"second": ("a",), "last": ("b", "c")}
MOVES = {
    "pending": {"running", "failed", "cancelled"},
    "running": {"completed", "failed", "cancelled"},
    "completed": set(),
    "failed": {"running"},
    "cancelled": set(),
}
Key = tuple[str, str]


@dataclass(slots=True)
class Seen:
    """A stage as it was after the last commit. news_at: when its announcement or its assets last changed, epoch ms."""

    expected: int | None = None
    done: int = 0
    failed: int = 0
    news_at: int = 0
    completion: str | None = None


class Checker:
    """clock: epoch seconds, the one the ledger has. fail: ends the run, whatever the code under test does."""

    def __init__(
        self,
        eye: Eye,
        scenario: Scenario,
        history: History,
        *,
        clock: Callable[[], float],
        fail: Callable[[Violation], None],
    ) -> None:
        self._eye = eye
        self._scenario = scenario
        self._history = history
        self._clock = clock
        self._fail = fail
        self._stages: dict[Key, Seen] = {}
        self.statuses: dict[str, str] = {}
        self._phases: dict[str, str | None] = {}
        self.failures: dict[str, int] = {}
        self._begun: set[tuple[str, str]] = set()
        self._consumed: set[tuple[str, str]] = set()
        self._replayed: set[tuple[str, str]] = set()
        self._letters: dict[tuple[str, str], int] = {}
        self.commits = 0
        self._looks: Mapping[str, int] = {}
        self._awaiting_news: list[asyncio.Future[None]] = []

    async def news(self) -> None:
        """Returns after the next commit."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaiting_news.append(future)
        await future

    def tell_news(self) -> None:
        waiting, self._awaiting_news = self._awaiting_news, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def after_commit(
        self,
        who: str,
        works: Sequence[Work],
        results: Sequence[list[Completion] | Exception],
        *,
        looks: Mapping[str, int],
    ) -> None:
        """looks: when `who` had last looked what waits of a job, epoch ms, by job id."""
        self.commits += 1
        self._looks = looks
        self.tell_news()
        self._history.note(who, "commits " + " | ".join(map(_told, works, results)))
        told = {
            (fired.job_id, fired.stage): fired for result in results if isinstance(result, list) for fired in result
        }
        self._check_phases(works, results)
        self._check_letters(works, results)
        self._check_jobs(works)
        for job_id, stage in told:
            self._notice_brief_failure(job_id, stage)
        for key in sorted({update.key for work in works for update in work.stages}):
            self._check_stage(key, told.get(key))

    def check_recorded(self, works: Sequence[Work], results: Sequence[list[Completion] | Exception]) -> None:
        """Whoever was told that his work is recorded finds it in the database."""
        for work, result in zip(works, results, strict=True):
            if not isinstance(result, list):
                continue
            for queue, event_id in filter(None, (work.inbox, *work.consumed)):
                self._insist_on_row(INBOX, (queue, event_id), f"{queue} was told to have consumed {event_id[:6]}")
            if work.inbox is not None or work.unless_consumed is not None:
                continue  # of a copy nothing is left
            for update in work.stages:
                for asset_id in (*(outcome.asset_id for outcome in update.outcomes), *update.started):
                    key = (*update.key, asset_id)
                    self._insist_on_row(ASSET, key, f"{key} was told to be recorded")

    def _insist_on_row(self, query: str, key: tuple[str, ...], otherwise: str) -> None:
        self.insist(self._eye.execute(query, key).fetchone() is not None, f"{otherwise}, and is not")

    def check_turn(self, relay: str) -> None:
        """One relay at a time hands events to the broker: the one that has the lease."""
        row = self._eye.execute(RELAY).fetchone()
        self.insist(row is not None and row[0] == relay, f"{relay} publishes, and the lease is {row}")

    # Jobs

    def _check_phases(self, works: Sequence[Work], results: Sequence[list[Completion] | Exception]) -> None:
        """A phase is begun by one work only."""
        for work, result in zip(works, results, strict=True):
            if work.inbox is None and isinstance(result, list):
                for move in work.moves:
                    if move.phase is not None:
                        is_first = (move.job_id, move.phase) not in self._begun
                        self.insist(is_first, f"phase {move.phase} of {move.job_id} was begun twice")
                        self._begun.add((move.job_id, move.phase))

    def _check_jobs(self, works: Sequence[Work]) -> None:
        if not any(work.new_job or work.moves or work.replay or work.stages for work in works):
            return
        for job_id, status, failed_stage, error, phase in self._eye.execute(JOBS):
            if phase != self._phases.get(job_id):
                self._check_phase(job_id, phase)
            before = self.statuses.get(job_id)
            if status == before:
                continue
            self.statuses[job_id] = status
            self._history.note("", f"job {job_id[:6]} is {status}" + (f": {error}" if status == "failed" else ""))
            if before is None:
                self.insist(status == "pending", f"job {job_id} is born {status}")
                continue
            self.insist(status in MOVES[before], f"job {job_id} went from {before} to {status}")
            if status == "failed":
                self.failures[job_id] = self.failures.get(job_id, 0) + 1
                if failed_stage is not None:
                    self._check_falling_short(job_id, failed_stage)
            if status == "running" and before == "failed":
                self._check_coming_back(job_id, works)

    def _check_phase(self, job_id: str, phase: str | None) -> None:
        """A phase begins once, when the stages it waits for have settled or had the time to."""
        before, self._phases[job_id] = self._phases.get(job_id), phase
        is_next = PHASES.index(phase) == PHASES.index(before) + 1
        self.insist(is_next, f"job {job_id} went from phase {before} to {phase}")
        for stage in BARRIERS.get(phase or "", ()):
            row = self._eye.execute(STAGE, (job_id, stage)).fetchone()
            self.insist(row is not None and row[6] is not None, f"job {job_id} is in phase {phase} before {stage}")
            has_settled = row[0] is not None and row[1] + row[2] >= row[0]
            waited_until = row[6] + round(self._scenario.settle_seconds * 1000)
            self.insist(
                has_settled or self._now_ms() >= waited_until, f"phase {phase} of {job_id} did not wait for {stage}"
            )

    def _notice_brief_failure(self, job_id: str, stage: str) -> None:
        """One work of a group may fail a job for want of an asset, and the next one bring it back with that asset."""
        if self._scenario.policies[stage].allow_partial:
            return
        (told,) = self._eye.execute(FAILURES, (job_id,)).fetchone()
        noticed = self.failures.get(job_id, 0)
        self.insist(told - noticed in (0, 1), f"job {job_id} was told to have failed {told} times, and did {noticed}")
        self.failures[job_id] = told

    def _check_coming_back(self, job_id: str, works: Sequence[Work]) -> None:
        is_replay = any(work.replay is not None for work in works)
        is_whole = any(update.job_id == job_id for work in works for update in work.stages)
        self.insist(is_replay or is_whole, f"job {job_id} came back without a replay")

    def _check_falling_short(self, job_id: str, stage: str) -> None:
        """A stage that needs all its assets fails its job only when it cannot get them any more."""
        row = self._eye.execute(STAGE, (job_id, stage)).fetchone()
        self.insist(not self._scenario.policies[stage].allow_partial, f"{stage} may be partial, and failed its job")
        is_settled = row[0] is not None and row[1] + row[2] >= row[0]
        if not is_settled:
            self._insist_on_nothing_waiting((job_id, stage), row[5], "its job failed for want of assets")

    # Messages

    def _check_letters(self, works: Sequence[Work], results: Sequence[list[Completion] | Exception]) -> None:
        """What was consumed is given up by nobody, unless somebody has asked for it again."""
        for work, result in zip(works, results, strict=True):
            if not isinstance(result, list):
                continue
            if work.replay is not None:
                self._replayed.add(self._eye.execute(LETTER, (work.replay,)).fetchone())
            for letter in work.dead_letters:
                pair = (letter.queue, letter.event_id)
                count, not_replayed = self._eye.execute(LETTERS, pair).fetchone()
                self.insist(not_replayed <= 1, f"{letter.queue} gave up {letter.event_id[:6]} twice")
                is_right = count == self._letters.get(pair, 0) or pair in self._replayed or pair not in self._consumed
                self.insist(is_right, f"{letter.queue} gave up {letter.event_id[:6]}, which it had consumed")
                self._letters[pair] = count
            self._consumed.update(filter(None, (work.inbox, *work.consumed)))

    # Stages

    def _check_stage(self, key: Key, told: Completion | None) -> None:
        row = self._eye.execute(STAGE, key).fetchone()
        seen = self._stages.setdefault(key, Seen())
        if row is None:
            self.insist(told is None, f"{key} completed and has no row")
            return
        expected, done, failed, late, done_weight, created_at, completed_at, closed_at, completion = row
        tally: dict[tuple[str, int], tuple[int, int]] = {
            (state, late): (n, weight) for state, late, n, weight in self._eye.execute(ASSETS, key)
        }

        def count(state: str, *lateness: int) -> int:
            return sum(tally.get((state, late), (0, 0))[0] for late in lateness)

        counted = (count("done", 0, 1), count("failed", 0, 1), count("done", 1) + count("failed", 1))
        self.insist((done, failed, late) == counted, f"{key}: counters {(done, failed, late)}, assets {counted}")
        weight = sum(tally.get(("done", late), (0, 0))[1] for late in (0, 1))
        self.insist(done_weight == weight, f"{key}: weight {done_weight}, assets {weight}")
        if (expected, done, failed) != (seen.expected, seen.done, seen.failed):
            news_before, seen.news_at = seen.news_at or self._now_ms(), self._now_ms()
        else:
            news_before = seen.news_at = seen.news_at or self._now_ms()
        if seen.completion is not None:
            self.insist(completion == seen.completion, f"{key}: its completion changed after it was told")
            self.insist(told is None, f"{key} completed a second time")
        elif completion is not None:
            self.insist(told is not None, f"{key} completed and nobody was told")
            fired = json.loads(completion)
            self._check_completion(key, fired, completed_at, created_at, news_before)
            in_time = (count("done", 0), count("failed", 0), late)
            self._check_snapshot(key, fired, expected, *in_time)
        else:
            self.insist(told is None, f"{key}: a completion was told, and not recorded")
            is_open = closed_at is None and self.statuses.get(key[0]) != "cancelled"
            if is_open:
                why = _due(self._scenario.policies[key[1]], expected, done, failed)
                self.insist(why is None, f"{key} is due by {why} and has not completed")
        if self.statuses.get(key[0]) == "cancelled":
            self.insist(completion is not None or closed_at is not None, f"{key} is open in a cancelled job")
        seen.expected, seen.done, seen.failed, seen.completion = expected, done, failed, completion

    def _check_completion(
        self, key: Key, fired: dict[str, Any], completed_at: int, created_at: int, news_before: int
    ) -> None:
        job_id, stage = key
        policy = self._scenario.policies[stage]
        self._history.note("", f"stage {stage} of {job_id[:6]} COMPLETES: {fired}")
        self.insist(completed_at == self._now_ms(), f"{key} completed at another time than now")
        self.insist(self.statuses.get(job_id) != "cancelled", f"{key} completed in a cancelled job")
        self.insist(fired["event_id"] == str(completion_event_id(job_id, stage)), f"{key}: another event id")
        rows = self._eye.execute(
            "SELECT body FROM outbox WHERE job_id = ? AND topic = ? AND queue IS NULL", (job_id, fired["topic"])
        ).fetchall()
        self.insist(len(rows) == 1, f"{key} has {len(rows)} completions in the outbox")
        payload = {name: value for name, value in fired.items() if name not in ("topic", "processed_weight")}
        self.insist(json.loads(rows[0][0]) == payload, f"{key}: the event is not what was recorded")
        if fired["reason"] == "watermark":
            self.insist(policy.allow_partial, f"{key} needs all its assets, and completed by its watermark")
            ttl = policy.watermark_ttl_seconds
            self.insist(ttl is not None, f"{key} has no watermark, and completed by it")
            early = (completed_at - news_before) - round((ttl or 0) * 1000)
            self.insist(early >= 0, f"{key} completed {-early} ms before its watermark")
            self._insist_on_nothing_waiting(key, created_at, "it completed by its watermark")

    def _check_snapshot(
        self, key: Key, fired: dict[str, Any], expected: int | None, done: int, failed: int, late: int
    ) -> None:
        """done, failed: of the assets recorded in time. One of those that are late may have failed in time before."""
        told = (fired["processed_assets"], fired["failed_assets"])
        self.insist(
            told[0] == done and failed <= told[1] <= failed + late, f"{key}: told {told}, in time {done}, {failed}"
        )
        known = expected is not None
        total = expected if expected is not None else done + told[1]
        self.insist(fired["total_assets"] == total, f"{key}: total {fired['total_assets']}, not {total}")
        self.insist(
            fired["has_partial_completion"] == (not known or done < total), f"{key}: wrongly told partial or whole"
        )
        policy = self._scenario.policies[key[1]]
        due = _due(policy, expected, done, told[1])
        if fired["reason"] != "watermark":
            self.insist(fired["reason"] == due, f"{key} completed by {fired['reason']}, and is due by {due}")

    def _insist_on_nothing_waiting(self, key: Key, created_at: int, what: str) -> None:
        """No asset that was sent in time and has no outcome yet, unless the longest time of waiting is over.

        What is sent between the look and the commit of whoever gives up the rest comes too late.
        """
        if self._now_ms() >= created_at + round(self._scenario.watermark_max_seconds * 1000):
            return
        job_id, stage = key
        settled = {
            asset_id
            for (asset_id,) in self._eye.execute(
                "SELECT asset_id FROM assets WHERE job_id = ? AND stage = ? AND state <> 'started'", key
            )
        }
        query = (
            "SELECT event_id, body, created_at, published_at, publications FROM outbox WHERE job_id = ? AND topic = ?"
        )
        for event_id, body, sent_at, published_at, publications in self._eye.execute(
            query, (job_id, f"simulated.{stage}.ready")
        ):
            if sent_at >= self._looks.get(job_id, self._now_ms()):
                continue
            waiting = sorted(set(json.loads(body)["names"]) - settled)
            where = "in the outbox" if published_at is None else f"published {publications} times"
            self.insist(not waiting, f"{key}: {what} while {waiting} wait in message {event_id[:6]}, {where}")

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    def insist(self, holds: bool, otherwise: str) -> None:
        """Ends the run when it does not hold."""
        if not holds:
            violation = Violation(otherwise)
            self._fail(violation)
            raise violation


def _due(policy: CompletionPolicy, expected: int | None, done: int, failed: int) -> str | None:
    """The rule that holds for these counts, without the watermark, written down once more in other words."""
    if expected is None:
        return None
    if expected - done <= 0:
        return "all"
    if not policy.allow_partial:
        return None
    if expected - done - failed <= 0:
        return "settled"
    if Fraction(done, expected) >= Fraction(policy.threshold) / 100:
        return "threshold"
    return None


def _told(work: Work, result: list[Completion] | Exception) -> str:
    parts = [f"new job {work.new_job.job_id[:6]}"] if work.new_job is not None else []
    parts += [f"move {move.job_id[:6]} to {move.to or move.phase}" for move in work.moves]
    for update in work.stages:
        what = [f"{outcome.asset_id} {outcome.state}" for outcome in update.outcomes]
        what += [f"{asset_id} touched" for asset_id in update.started]
        what += [f"expects {update.expected}"] if update.expected is not None else []
        what += ["expires"] if update.expire else []
        what += ["postponed"] if update.postpone else []
        parts.append(f"{update.job_id[:6]}/{update.stage}: {', '.join(what)}")
    parts += [f"emits {event.topic} {str(event.identity)[:6]}" for event in work.events]
    consumed = [*work.consumed, *((work.inbox,) if work.inbox is not None else ())]
    parts += [f"consumed {queue} {event_id[:6]}" for queue, event_id in consumed]
    parts += [f"dead letter {letter.queue} {letter.event_id[:6]}: {letter.error}" for letter in work.dead_letters]
    parts += [f"replays letter {work.replay}"] if work.replay is not None else []
    if isinstance(result, Exception):
        parts.append(f"-> REFUSED: {type(result).__name__}: {result}")
    return "; ".join(parts)
