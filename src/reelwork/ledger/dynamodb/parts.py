"""Which works go into one transaction of DynamoDB, and into which parts a work is cut that is too large for one.

Only what tells of assets is cut: an asset counts once, however often it is told of, so whoever does the work again
after a crash goes on where it stopped. What else the work holds is recorded with its last part, all or nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from reelwork.errors import InvalidWork
from reelwork.ledger.dynamodb.outbox import EVENTS_PER_ITEM_MAX
from reelwork.ledger.dynamodb.segment_completions import segment_completion_of
from reelwork.ledger.records import JobStatus
from reelwork.ledger.work import AssetOutcome, StageUpdate, Work
from reelwork.message import Message

T = TypeVar("T")
ITEMS_MAX: Final = 90
"""Of the 100 of a transaction; the others are for what cannot be foreseen, as the marks of failures."""
ASSETS_MAX: Final = 80
BYTES_MAX: Final = 3_000_000
"""Of the 4 MB of a transaction."""
LOOSE_EVENTS_MAX: Final = 10
"""Events that come with no asset, and each leave a mark; more of them leave one together."""
LETTERS_MAX: Final = 20
ASSET_BYTES: Final = 600


@dataclass(slots=True)
class _Cargo:
    """What a transaction would hold. bytes: of results, errors and events, before anything is compressed. emitted:
    events of assets, which share items.
    """

    items: set[tuple[str, ...]] = field(default_factory=set)
    bytes: int = 0
    loose_events: int = 0
    emitted: int = 0

    def with_work(self, work: Work) -> _Cargo:
        items, size, emitted = set(self.items), self.bytes, self.emitted
        for update in work.stages:
            items |= {("stage", *update.key), ("job", update.job_id), ("outbox", update.job_id)}
            items |= {("asset", *update.key, asset_id) for asset_id in update.started}
            for outcome in update.outcomes:
                items.add(("asset", *update.key, outcome.asset_id))
                size += _size(outcome)
                emitted += len(outcome.events)
                if segment_completion_of(update.stage, outcome.result) is not None:
                    items.add(("segment", *update.key, outcome.asset_id))
        for number, event in enumerate(work.events):
            items.add(("outbox", event.job_id, str(number // EVENTS_PER_ITEM_MAX)))
            size += len(event.body) if isinstance(event, Message) else 0
        for number in range(min(len(work.events), LOOSE_EVENTS_MAX)):
            items.add(("mark", str(self.loose_events + number)))
        for pair in (work.inbox, work.unless_consumed, *work.consumed):
            items |= {("event", pair.event_id)} if pair else set()
        for letter in work.dead_letters:
            items |= {
                (kind, letter.job_id, letter.queue, letter.event_id, letter.body) for kind in ("letter", "message")
            }
            items.add(("event", letter.event_id))
            size += len(letter.body)
        items |= {("job", move.job_id) for move in work.moves}
        if work.new_job is not None:
            items |= {("job", work.new_job.job_id), ("submission", work.new_job.job_id)}
        return _Cargo(items, size, self.loose_events + len(work.events), emitted)

    @property
    def is_light(self) -> bool:
        """Whether a transaction takes it, however many its loose events are."""
        return len(self.items) + self.emitted // EVENTS_PER_ITEM_MAX <= ITEMS_MAX and self.bytes <= BYTES_MAX

    @property
    def fits(self) -> bool:
        return self.is_light and self.loose_events <= LOOSE_EVENTS_MAX


def together(works: Sequence[Work]) -> Iterator[list[Work]]:
    """Works in their order, as many in a transaction as fit; one that fits none is alone."""
    some: list[Work] = []
    cargo = _Cargo()
    for work in works:
        with_it = cargo.with_work(work)
        if some and (not with_it.fits or _is_far_reaching(work) or _is_far_reaching(some[-1])):
            yield some
            some, with_it = [], _Cargo().with_work(work)
        some.append(work)
        cargo = with_it
    if some:
        yield some


def parts_of(work: Work) -> list[Work]:
    """The work itself, or parts of it in the order in which they must be recorded.

    Raises InvalidWork for one that must not be cut.
    """
    if _Cargo().with_work(work).is_light:
        return [work]
    told = sum(len(update.outcomes) + len(update.started) for update in work.stages)
    if told + len(work.consumed) + len(work.dead_letters) == 0:
        return [work]  # its events are many, or large: it fits, or is refused where it is written
    if work.new_job is not None or work.replay is not None or any(not move.lenient for move in work.moves):
        raise InvalidWork(
            f"a work that moves a job tells of {told} assets, {len(work.consumed)} messages and "
            f"{len(work.dead_letters)} dead letters; on DynamoDB it may tell of {ASSETS_MAX}, because more do not fit "
            "into one transaction: send the others in works of their own"
        )
    bare = Work(unless_consumed=work.inbox or work.unless_consumed, at_ms=work.at_ms)
    before, ends = [], []
    for update in work.stages:
        *pieces, end = _pieces(update)
        before += [replace(bare, stages=[piece]) for piece in pieces]
        ends.append(end)
    before += [replace(bare, dead_letters=some) for some in _by(LETTERS_MAX, work.dead_letters)]
    before += [replace(bare, stages=[end]) for end in ends[:-1]]
    last = replace(work, stages=ends[-1:], dead_letters=(), consumed=())
    after = [Work(consumed=some, at_ms=work.at_ms) for some in _by(ASSETS_MAX, work.consumed)]
    return [*before, last, *after]


def _pieces(update: StageUpdate) -> list[StageUpdate]:
    """The last of them announces, expires and postpones."""
    bare = replace(update, outcomes=(), started=(), expected=None, expire=False, postpone=False)
    pieces = [replace(bare, outcomes=some) for some in _portions(update)]
    pieces += [replace(bare, started=some) for some in _by(ASSETS_MAX, update.started)]
    if not pieces:
        return [update]
    end = pieces.pop()
    return [*pieces, replace(update, outcomes=end.outcomes, started=end.started)]


def _portions(update: StageUpdate) -> Iterator[list[AssetOutcome]]:
    some: list[AssetOutcome] = []
    items, size, emitted = 0, 0, 0
    for outcome in update.outcomes:
        own_items = 1 if segment_completion_of(update.stage, outcome.result) is None else 2
        own_size, own_events = _size(outcome), len(outcome.events)
        all_items = items + own_items + (emitted + own_events) // EVENTS_PER_ITEM_MAX
        if some and (all_items > ASSETS_MAX or size + own_size > BYTES_MAX):
            yield some
            some, items, size, emitted = [], 0, 0, 0
        some.append(outcome)
        items, size, emitted = items + own_items, size + own_size, emitted + own_events
    if some:
        yield some


def _by(count: int, things: Sequence[T]) -> list[Sequence[T]]:
    return [things[first : first + count] for first in range(0, len(things), count)]


def _size(outcome: AssetOutcome) -> int:
    return ASSET_BYTES + sum(
        len(event.body) if isinstance(event, Message) else len(event.body()) for event in outcome.events
    )


def _is_far_reaching(work: Work) -> bool:
    """It may write stages that it does not name."""
    return work.replay is not None or any(move.to in (JobStatus.CANCELLED, JobStatus.RUNNING) for move in work.moves)
