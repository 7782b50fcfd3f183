"""How a group of works is loaded on SQLite, inside one `BEGIN IMMEDIATE`, which locks out all other writers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reelwork.ledger.base import Courier
from reelwork.ledger.commit import Loaded, Needs, StageKey
from reelwork.ledger.job import JobState
from reelwork.ledger.records import AssetState, DeadLetter, JobStatus, Known
from reelwork.ledger.stage import Stage
from reelwork.ledger.transaction import SqlTransaction, letter_of, stage_of
from reelwork.ledger.work import Inbox
from reelwork.message import Message


class SqliteTransaction(SqlTransaction):
    """Nothing needs a lock of its own, so it asks only for what the group needs."""

    def load(self, needs: Needs) -> Loaded:
        stages = self._stages(needs.stages)
        letters = self._letters(needs.letters)
        jobs = {*needs.moving, *needs.reading, *(letter.job_id for letter in letters.values())}
        jobs |= {job_id for job_id, stage in needs.stages if (job_id, stage) not in stages}
        return Loaded(
            stages=stages,
            known={key: self._known(key, ids) for key, ids in needs.assets.items() if ids and key in stages},
            letters=letters,
            jobs=self._jobs(sorted(jobs)),
            job_keys=dict(self._rows("jobs_with_keys", needs.job_keys)),
            consumed={Inbox(*row) for row in self._rows("consumed", [pair.event_id for pair in needs.inbox])},
        )

    def _publish(self, courier: Courier, events: Sequence[Message], now_ms: int) -> None:
        """No other writer has been in between, so their numbers follow each other up to the last one."""
        ((last,),) = self._connection.execute("SELECT max(sequence) FROM outbox").fetchall()
        courier.forward(self._connection, events, last, now_ms)

    def _rows(self, name: str, values: Sequence[object]) -> list[Any]:
        return self._connection.execute(self._statement(name), (json.dumps(values),)).fetchall() if values else []

    def _stages(self, keys: Sequence[StageKey]) -> dict[StageKey, Stage]:
        return {(row[0], row[1]): stage_of(row) for row in self._rows("load_stages", keys)}

    def _known(self, key: StageKey, asset_ids: Sequence[str]) -> dict[str, Known]:
        rows = self._connection.execute(self._statement("known_assets"), (*key, json.dumps(asset_ids))).fetchall()
        return {asset_id: Known(AssetState(state), attempts, bool(late)) for asset_id, state, attempts, late in rows}

    def _letters(self, dead_letter_ids: Sequence[int]) -> dict[int, DeadLetter]:
        return {row[0]: letter_of(row) for row in self._rows("load_letters", dead_letter_ids)}

    def _jobs(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        return {row[0]: JobState(JobStatus(row[1]), row[2], row[3]) for row in self._rows("load_jobs", job_ids)}
