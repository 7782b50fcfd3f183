"""One delivery of a stage: which of its assets are still to be tried, and what came of the others.

A crash anywhere costs time, never an asset: what is recorded is skipped the next time, and an asset under suspicion of
killing its worker is marked before it is touched, so that only it uses up its attempts.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reelwork.broker import Delivery
from reelwork.errors import InvalidWork, PermanentError
from reelwork.events import Asset, AssetEvent
from reelwork.ledger import AssetOutcome, AssetState, Job
from reelwork.ledger.records import Known
from reelwork.ledger.work import validate_outcome
from reelwork.runtime.context import Context
from reelwork.runtime.outcome import describe, is_resolved

CRASHES_MAX: Final = 3
NONE: Final[Mapping[str, str]] = {}
NO_ATTEMPTS: Final[Mapping[str, int]] = {}


@dataclass(slots=True)
class JobAtHand:
    """The job of some deliveries, as it was when they were taken; `cancelled` is set when that is no longer true."""

    job: Job
    first_phase: str | None
    cancelled: threading.Event = field(default_factory=threading.Event)


class StageRun:
    """assets: still to be tried, the next one last. outcomes: not recorded yet. error: why the delivery ends badly.
    told: how many outcomes are on their way or recorded. started_ns: when it was begun, epoch ns, for its trace.
    is_copy: its message was seen to before. is_twin: another delivery at hand has one of its assets. is_over: it is not
    in this worker's hands any more.
    """

    __slots__ = (
        "assets",
        "at_hand",
        "attempts",
        "delivery",
        "error",
        "event",
        "failed",
        "is_copy",
        "is_over",
        "is_twin",
        "outcomes",
        "started_ns",
        "told",
        "transient",
    )
    event: AssetEvent
    at_hand: JobAtHand

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.assets: list[Asset] = []
        self.outcomes: list[AssetOutcome] = []
        self.transient: Mapping[str, str] = NONE
        self.failed: Mapping[str, str] = NONE
        self.attempts: Mapping[str, int] = NO_ATTEMPTS
        self.error: Exception | None = None
        self.is_twin = False
        self.is_over = False
        self.is_copy = False
        self.started_ns = 0
        self.told = 0

    def read(self, event: AssetEvent) -> None:
        """Takes the assets from the event of the delivery, each once; the last of them is the next to be tried."""
        self.event = event
        assets = event.assets()
        self.assets = [*assets] if len(assets) == 1 else [*{a.asset_id: a for a in reversed(assets)}.values()]

    def skip_resolved(self, known: Mapping[str, Known]) -> None:
        """Leaves the assets that still need work.

        What hung or killed its worker before comes last, or its neighbours would never have their turn.
        """
        is_replay = self.delivery.message.is_replay
        own = {asset.asset_id: known[asset.asset_id] for asset in self.assets if asset.asset_id in known}
        if not own:
            return
        resolved = {asset_id for asset_id, before in own.items() if is_resolved(before, is_replay=is_replay)}
        failed = [asset_id for asset_id in resolved if own[asset_id].state is AssetState.FAILED]
        self.failed = dict.fromkeys(failed, "failed in an earlier delivery")
        self.attempts = {asset_id: before.attempts for asset_id, before in own.items()}
        self.assets = [asset for asset in self.assets if asset.asset_id not in resolved]
        self.assets.sort(key=lambda asset: -self.attempts.get(asset.asset_id, 0))

    @property
    def attempts_of_next(self) -> int:
        return self.attempts.get(self.assets[-1].asset_id, 0) if self.assets else 0

    def drop(self) -> None:
        """The job was cancelled: what is left to do, and what nobody has recorded, is of no use."""
        self.assets.clear()
        self.outcomes.clear()

    def take_outcomes(self) -> list[AssetOutcome]:
        outcomes, self.outcomes = self.outcomes, []
        self.told += len(outcomes)
        return outcomes

    def succeed(self, stage: str, queue: str, asset: Asset, result: Any, context: Context) -> None:
        """Raises InvalidWork for a result that the ledger would refuse together with the neighbours' results."""
        if result is not None and not isinstance(result, Mapping):
            raise InvalidWork(f"the handler of {queue} must return a dict or None, not {result!r:.80}")
        weight = asset.weight if context.weight is None else context.weight
        outcome = AssetOutcome(asset.asset_id, AssetState.DONE, weight, result, None, context.events)
        validate_outcome(stage, outcome)
        self.outcomes.append(outcome)

    def fail(self, asset: Asset, error: Exception) -> None:
        """Whether for now or for good depends on the error."""
        if isinstance(error, PermanentError | InvalidWork):
            self.give_up(asset, describe(error))
        else:
            self.transient = {**self.transient, asset.asset_id: describe(error)}

    def give_up(self, asset: Asset, error: str) -> None:
        self.failed = {**self.failed, asset.asset_id: error}
        self.outcomes.append(AssetOutcome(asset.asset_id, AssetState.FAILED, weight=asset.weight, error=error))

    def bury_killer(self) -> bool:
        """Gives up the next asset if it has killed its workers too often already."""
        attempts = self.attempts_of_next
        if attempts < CRASHES_MAX:
            return False
        self.give_up(self.assets.pop(), f"its worker died {attempts} times while working on it")
        return True
