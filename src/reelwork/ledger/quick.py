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
from reelwork.ledger.work import AssetOutcome, StageUpdate, Work, encode_result, error_text

GROUPS_LEFT_OUT: Final = 16
"""After a refusal so many groups go the ordinary way at once: a stage near its end refuses every time."""


@dataclass(slots=True)
class _News:
    """What the works of a group tell of one stage."""

    outcomes: list[AssetOutcome] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
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
        order = sorted(range(len(self.outcomes)), key=lambda place: self.outcomes[place].asset_id)
        self.outcomes = [self.outcomes[place] for place in order]
        self.times = [self.times[place] for place in order]

    @property
    def is_plain(self) -> bool:
        """Nothing to say of any asset but that it is done."""
        return len(set(self.times)) == 1 and all(
            outcome.state is AssetState.DONE
            and outcome.weight == 1
            and outcome.result is None
            and outcome.error is None
            for outcome in self.outcomes
        )


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
            if not update.outcomes or any(outcome.events for outcome in update.outcomes):
                return None
            news.setdefault(update.key, _News()).add(update, now_ms if work.at_ms is None else work.at_ms)
    for told in news.values():
        if len({outcome.asset_id for outcome in told.outcomes}) != len(told.outcomes):
            return None
        told.sort()
    return news


def _parameters(key: StageKey, news: _News, database: Database) -> tuple[Any, ...]:
    outcomes, array = news.outcomes, database.array
    done = [outcome for outcome in outcomes if outcome.state is AssetState.DONE]
    details: tuple[str | None, ...] = (None,) * 5
    if not news.is_plain:
        details = (
            array([outcome.state.value for outcome in outcomes]),
            array([outcome.weight for outcome in outcomes]),
            array([encode_result(outcome.result) for outcome in outcomes]),
            array([outcome.error and error_text(outcome.error) for outcome in outcomes]),
            array(news.times),
        )
    return (
        birth_lock(key),
        *key,
        array([outcome.asset_id for outcome in outcomes]),
        *details,
        len(done),
        len(outcomes) - len(done),
        sum(outcome.weight for outcome in done),
        str(news.threshold),
        news.watermark_at,
        news.latest,
    )
