"""Events of one job that were recorded together, in one item: their bodies compressed, their fates in runs.

A run says of so many events, one after another, when they were published, finished, are to be looked at again, and how
often they were published; as they share their fates, one run tells of all of them as a rule.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from reelwork.errors import InvalidWork
from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.items import Item, Value
from reelwork.ledger.records import OutboxRow
from reelwork.message import Message

EVENTS_PER_ITEM_MAX: Final = 500
BODY_BYTES_PER_ITEM_MAX: Final = 380_000
"""Before they are compressed; a single one may be larger."""
PACKED_BYTES_MAX: Final = 390_000


class Fate(NamedTuple):
    """Of one event, epoch ms. look_again_at: None until it is published."""

    published_at: int | None = None
    finished_at: int | None = None
    look_again_at: int | None = None
    publications: int = 0


def chunks(events: Sequence[Message]) -> Iterator[list[Message]]:
    """Those that go into one item each, in their order."""
    some: list[Message] = []
    size = 0
    for event in events:
        body_bytes = len(event.body.encode("utf-8", "surrogatepass"))
        if some and (len(some) == EVENTS_PER_ITEM_MAX or size + body_bytes > BODY_BYTES_PER_ITEM_MAX):
            yield some
            some, size = [], 0
        some.append(event)
        size += body_bytes
    if some:
        yield some


def packed(sequence: int, events: Sequence[Message], now_ms: int) -> dict[str, Value | None]:
    """An item. Raises InvalidWork for an event that is too large for one."""
    told = [[e.event_id, e.topic, e.queue, int(e.is_replay), e.body] for e in events]
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
    content = zlib.compress(text.encode("utf-8", "surrogatepass"))
    if len(content) > PACKED_BYTES_MAX:
        raise InvalidWork(
            f"an event on {events[0].topic} has {len(content)} bytes when compressed, {PACKED_BYTES_MAX} at most; put "
            "what is large into the object store and send its key"
        )
    job_id = events[0].job_id
    return {
        "job_id": job_id,
        "events": content,
        "created_at": now_ms,
        **_state(job_id, sequence, [Fate()] * len(events)),
    }


def rows(item: Item) -> list[OutboxRow]:
    sequence, fates = sequence_of(item), fates_of(item)
    content: Any = json.loads(zlib.decompress(bytes_of(item)).decode("utf-8", "surrogatepass"))
    return [
        OutboxRow(
            sequence=sequence + place,
            event_id=event_id,
            job_id=str(item["job_id"]),
            topic=topic,
            queue=queue,
            is_replay=bool(is_replay),
            body=body,
            created_at=int(item["created_at"]),
            published_at=fate.published_at,
            finished_at=fate.finished_at,
            publications=fate.publications,
        )
        for place, ((event_id, topic, queue, is_replay, body), fate) in enumerate(zip(content, fates, strict=True))
    ]


def fates_of(item: Item) -> list[Fate]:
    runs: Any = json.loads(str(item["fates"]))
    return [Fate(*fate) for count, *fate in runs for _ in range(count)]


def changed(item: Item, change: Callable[[int, Fate], Fate]) -> Mapping[str, Value | None]:
    """What of an item is new when the fate of each of its events, by its sequence, is changed."""
    sequence = sequence_of(item)
    fates = [change(sequence + place, fate) for place, fate in enumerate(fates_of(item))]
    return _state(str(item["job_id"]), sequence, fates)


def sequence_of(item: Item) -> int:
    return int(str(item["sk"]))


def bytes_of(item: Item) -> bytes:
    content = item["events"]
    assert isinstance(content, bytes)
    return content


def counts_in(agenda_key: str) -> tuple[int, int]:
    """How many events of an item are unpublished, and how many are published and not finished."""
    _, unpublished, unfinished = agenda_key.split("#")
    return int(unpublished), int(unfinished)


def _state(job_id: str, sequence: int, fates: Sequence[Fate]) -> dict[str, Value | None]:
    """The fates, and where the item stands on the agenda: nowhere when nothing is left to be done."""
    runs = [[len([*same]), *fate] for fate, same in groupby(fates)]
    unpublished = sum(fate.published_at is None for fate in fates)
    unfinished = [fate for fate in fates if fate.published_at is not None and fate.finished_at is None]
    counts = f"#{unpublished}#{len(unfinished)}"
    agenda, agenda_key = None, None
    if unpublished:
        agenda, agenda_key = keys.events_on_their_way(keys.UNPUBLISHED, job_id), keys.number(sequence) + counts
    elif unfinished:
        look_at = min(fate.look_again_at or 0 for fate in unfinished)
        agenda, agenda_key = keys.events_on_their_way(keys.UNFINISHED, job_id), keys.number(max(look_at, 0)) + counts
    return {"fates": json.dumps(runs, separators=(",", ":")), "agenda": agenda, "agenda_key": agenda_key}
