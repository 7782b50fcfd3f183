"""The quick way on PostgreSQL: outcomes that cannot complete their stage, recorded in one round trip.

It decides nothing. A function in the database refuses, and everything is rolled back, when an asset is known already or
when the stage is closed, not announced, or so far that any rule could hold; then the group goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from reelwork.database import Database, StatementRefused
from reelwork.errors import WriteConflict
from reelwork.ledger.base import Courier
from reelwork.ledger.commit import StageKey
from reelwork.ledger.postgresql import birth_lock
from reelwork.ledger.records import AssetState
from reelwork.ledger.transaction import statement
from reelwork.ledger.work import AssetOutcome, OutcomeColumns, StageUpdate, Work, encode_result, error_text

GROUPS_LEFT_OUT: Final = 16
"""After a refusal so many groups go the ordinary way at once: a stage near its end refuses every time."""


@dataclass(slots=True)
class _News:
    """What the works of a group tell of one stage."""

    outcomes: list[AssetOutcome] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    columns: OutcomeColumns = field(default_factory=OutcomeColumns)
    latest: int = 0
    threshold: Decimal = Decimal(100)
    watermark_at: int | None = None

    def add(self, update: StageUpdate, at_ms: int) -> None:
        self.outcomes += update.outcomes
        self.times += [at_ms] * len(update.outcomes)
        self.latest = at_ms
        if update.policy.allow_partial:
            self.threshold = min(self.threshold, update.policy.threshold)
        self.watermark_at = update.policy.watermark_after(at_ms)

    def sort(self) -> None:
        """By asset id: everybody inserts in this order, so that no two wait for each other."""
        ids = [outcome.asset_id for outcome in self.outcomes]
        if ids != sorted(ids):
            order = sorted(range(len(ids)), key=ids.__getitem__)
            self.outcomes = [self.outcomes[place] for place in order]
            self.times = [self.times[place] for place in order]
        self.columns = OutcomeColumns.of(self.outcomes)

    @property
    def is_quick(self) -> bool:
        """Each asset is told of once, and nothing follows from it."""
        return len(set(self.columns.asset_ids)) == len(self.outcomes) and not any(self.columns.events)

    @property
    def is_plain(self) -> bool:
        return self.columns.are_plain and len(set(self.times)) == 1


class QuickWay:
    """For one ledger; not thread-safe, as its writer is alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left_out = 0

    def commit(self, works: Sequence[Work], now_ms: int, courier: Courier | None) -> bool:
        """True when the works are recorded, none of which has completed anything; False when nothing is."""
        if self._left_out:
            self._left_out -= 1
            return False
        news = _news(works, now_ms)
        if news is None or (courier is None and any(work.receipts for work in works)):
            return False
        try:
            self._record(news, works, now_ms, courier)
        except (StatementRefused, WriteConflict):
            self._left_out = GROUPS_LEFT_OUT
            return False
        return True

    def _record(self, news: dict[StageKey, _News], works: Sequence[Work], now_ms: int, courier: Courier | None) -> None:
        dialect = self._database.dialect
        inbox = [pair for work in works for pair in (work.inbox, *work.consumed) if pair is not None]
        receipts = [receipt for work in works for receipt in work.receipts]
        if len(news) == 1 and not inbox and not receipts:
            ((key, told),) = news.items()
            self._database.run(statement(dialect, "record_and_flush"), _parameters(key, told, self._database))
            return
        with self._database.write() as connection:
            connection.show_early()
            births = self._database.array(sorted({birth_lock(key) for key in news}))
            connection.execute(statement(dialect, "share_births"), (births,))
            for key in sorted(news):
                connection.execute(statement(dialect, "record_quickly"), _parameters(key, news[key], self._database))
            if inbox:
                rows = [(*pair, now_ms) for pair in sorted(inbox)]
                connection.executemany(statement(dialect, "insert_inbox"), rows)
            if courier is not None:
                courier.acknowledge(connection, receipts)


def _news(works: Sequence[Work], now_ms: int) -> dict[StageKey, _News] | None:
    """None when the works hold anything but outcomes of assets, each told of once, without events of their own."""
    news: dict[StageKey, _News] = {}
    for work in works:
        if work.new_job or work.moves or work.events or work.dead_letters or work.replay is not None:
            return None
        if not work.stages:
            return None
        for update in work.stages:
            if update.expected is not None or update.started or update.expire or update.postpone:
                return None
            if not update.outcomes:
                return None
            news.setdefault(update.key, _News()).add(update, now_ms if work.at_ms is None else work.at_ms)
    for told in news.values():
        told.sort()
    return news if all(told.is_quick for told in news.values()) else None


def _parameters(key: StageKey, news: _News, database: Database) -> tuple[Any, ...]:
    columns, array = news.columns, database.array
    details: tuple[str | None, ...] = (None,) * 5
    done = weight = len(columns.asset_ids)
    if not news.is_plain:
        done = columns.states.count(AssetState.DONE)
        weight = sum(outcome.weight for outcome in news.outcomes if outcome.state is AssetState.DONE)
        details = (
            array([state.value for state in columns.states]),
            array(columns.weights),
            array(list(map(encode_result, columns.results))),
            array([error and error_text(error) for error in columns.errors]),
            array(news.times),
        )
    return (
        birth_lock(key),
        *key,
        array(columns.asset_ids),
        *details,
        done,
        len(columns.asset_ids) - done,
        weight,
        str(news.threshold),
        news.watermark_at,
        news.latest,
    )
