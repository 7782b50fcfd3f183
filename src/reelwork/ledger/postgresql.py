"""How a group of works is locked and loaded on PostgreSQL, in one round trip, at READ COMMITTED.

Every process locks in the same order: births of stages, dead letters, jobs, stage rows; each of them sorted. Each
statement sees what was committed before it began, so what is read after its lock is the truth until the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from reelwork.database.base import Cursor
from reelwork.ledger.commit import Loaded, Needs, StageKey
from reelwork.ledger.job import JobState
from reelwork.ledger.records import AssetState, JobStatus, Known
from reelwork.ledger.transaction import SqlTransaction, letter_of, stage_of
from reelwork.ledger.work import Inbox


def birth_lock(key: StageKey) -> int:
    """The number that stands for a stage, whether it has a row or not. Two that share one only wait for each other.

    ("", key) stands for the job with an idempotency key.
    """
    digest = blake2b("\0".join(("reelwork", *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class PostgresqlTransaction(SqlTransaction):
    """Asks for everything first and looks at the answers after."""

    def load(self, needs: Needs) -> Loaded:
        array = self._connection.array
        births = {birth_lock(key) for key in needs.stages} | {birth_lock(("", key)) for key in needs.job_keys}
        if births:
            self._ask("lock_births", array(sorted(births)))
        letters = self._ask("lock_letters", array(needs.letters)) if needs.letters else None
        moving = self._lock_jobs(needs)
        stages = self._lock_stages(needs)
        reading = self._ask("load_jobs", array(needs.reading)) if needs.reading else None
        known = {key: self._ask("known_assets", *key, array(ids)) for key, ids in needs.assets.items() if ids}
        job_keys = self._ask("jobs_with_keys", array(needs.job_keys)) if needs.job_keys else None
        consumed = self._ask("consumed", array([pair.event_id for pair in needs.inbox])) if needs.inbox else None
        jobs = [*_rows(reading), *_rows(moving)]
        return Loaded(
            stages={(row[0], row[1]): stage_of(row) for row in _rows(stages)},
            known={key: _known(_rows(cursor)) for key, cursor in known.items()},
            letters={row[0]: letter_of(row) for row in _rows(letters)},
            jobs={row[0]: JobState(JobStatus(row[1]), row[2], row[3]) for row in jobs},
            job_keys=dict(_rows(job_keys)),
            consumed={Inbox(*row) for row in _rows(consumed)},
        )

    def _ask(self, name: str, *parameters: object) -> Cursor:
        return self._connection.execute(self._statement(name), parameters)

    def _lock_jobs(self, needs: Needs) -> Cursor | None:
        if not (needs.moving or needs.letters or needs.stages):
            return None
        array, stages = self._connection.array, self._columns(needs.stages)
        return self._ask("lock_jobs", array(needs.moving), array(needs.letters), *stages, array(needs.reading))

    def _lock_stages(self, needs: Needs) -> Cursor | None:
        if needs.closing:
            closing = self._connection.array(needs.closing)
            return self._ask("lock_stages_and_jobs", *self._columns(needs.stages), closing)
        return self._ask("lock_stages", *self._columns(needs.stages)) if needs.stages else None

    def _columns(self, keys: Sequence[StageKey]) -> tuple[str, str]:
        return self._connection.array([key[0] for key in keys]), self._connection.array([key[1] for key in keys])


def _rows(cursor: Cursor | None) -> list[Any]:
    return [] if cursor is None else cursor.fetchall()


def _known(rows: Sequence[Any]) -> dict[str, Known]:
    return {asset_id: Known(AssetState(state), attempts, late) for asset_id, state, attempts, late in rows}
