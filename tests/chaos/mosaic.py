"""The pipeline that is under fire: two chained stages with hundreds of assets, one or many of them a message.

Every call of a handler leaves a line in the diary, outside the ledger: calls may be doubled, what they ask for may not.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from reelwork import Context, Phase, Pipeline, Service
from reelwork.events import Announcement, Asset, AssetEvent, Event, IdentifiedEvent, StageCompleted
from reelwork.ledger import AssetState, CompletionPolicy
from reelwork.objects.keys import results_key
from tests.chaos.diary import Diary

NAME: Final = "mosaic"
TILES, MARKS = "mosaic.tiles", "mosaic.marks"
MARKS_PER_TILE: Final = 3
MESSAGE_SIZES: Final = (1, 12, 1, 5)
ROUNDS_OF_WORK: Final = 8_000
POISON: Final = "REELWORK_CHAOS_POISON"
"""Names a file: while it is there, the poisoned tile kills its worker."""
NO_ASSET: Final = "-"
POISONED_TILE: Final = 7
DIGESTS_OF_A_CONSUMER: Final = 10
NEEDS_ALL = CompletionPolicy(threshold_percentage=100, watermark_ttl_seconds=None, allow_partial=False)


class Parameters(BaseModel):
    tiles: int
    poisoned: bool = False


class MosaicSubmitted(Event):
    topic = "mosaic.submitted"


class Total(Announcement):
    total: int

    @property
    def expected(self) -> int:
        return self.total


class TilesBatch(Total):
    topic = "mosaic.tiles.batch"


class MarksBatch(Total):
    topic = "mosaic.marks.batch"


class Names(AssetEvent):
    names: list[str]

    def assets(self) -> list[Asset]:
        return [Asset(name) for name in self.names]


class TilesReady(Names):
    topic = "mosaic.tiles.ready"


class MarksReady(Names):
    topic = "mosaic.marks.ready"


class TilesCompleted(StageCompleted):
    topic = "mosaic.tiles.completed"


class MarksCompleted(StageCompleted):
    topic = "mosaic.marks.completed"


class MosaicFinished(IdentifiedEvent):
    topic = "mosaic.finished"


COMPLETIONS: Final = (TilesCompleted.topic, MarksCompleted.topic)
EFFECTS: Final = {
    MosaicSubmitted.topic: TilesBatch.topic,
    TilesCompleted.topic: MarksBatch.topic,
    MarksCompleted.topic: MosaicFinished.topic,
}
"""What each event makes its consumer publish, with a new id in every call: were two calls to count, both were there."""

planner, tiler, marker, framer = (Service(f"mosaic-{name}") for name in ("planner", "tiler", "marker", "framer"))


def digest(name: str) -> str:
    """A few milliseconds of work with one right answer."""
    return hashlib.pbkdf2_hmac("sha256", name.encode(), b"mosaic", ROUNDS_OF_WORK).hex()[:16]


def deliberate(event: Event) -> None:
    """Takes a consumer of a completion long enough to be hit."""
    for number in range(DIGESTS_OF_A_CONSUMER):
        digest(f"{event.job_id} {number}")


def tile_names(tiles: int) -> list[str]:
    return [f"{number:05}" for number in range(tiles)]


def marks_of(tile: str) -> list[str]:
    return [f"{tile}-{number}" for number in range(MARKS_PER_TILE)]


def tile_messages(tiles: int) -> Iterator[list[str]]:
    names, number = tile_names(tiles), 0
    while names:
        size = MESSAGE_SIZES[number % len(MESSAGE_SIZES)]
        yield names[:size]
        del names[:size]
        number += 1


def mark_messages(tile: str) -> list[list[str]]:
    """All marks of a tile in one message, or one in each."""
    marks = marks_of(tile)
    return [marks] if int(tile) % 2 else [[mark] for mark in marks]


@cache
def undisturbed(tiles: int) -> list[dict[str, str]]:
    """The results of a job to which nothing happened."""
    return [{"mark": mark, "digest": digest(mark)} for tile in tile_names(tiles) for mark in marks_of(tile)]


def note(event: Event, context: Context, what: str) -> None:
    asset = context.asset.asset_id if context.asset else NO_ASSET
    Diary.here().note(event.job_id, what, asset, context.attempt)


@planner.on(MosaicSubmitted, queue="q.mosaic.jobs")
def plan(event: MosaicSubmitted, context: Context) -> None:
    note(event, context, event.topic)
    tiles = context.job.parameters["tiles"]
    context.start_job()
    context.emit(TilesBatch(job_id=event.job_id, event_id=context.new_id(), total=tiles))
    for names in tile_messages(tiles):
        context.emit(TilesReady(job_id=event.job_id, event_id=context.new_id(), names=names))


@tiler.stage(TILES, announced_by=TilesBatch, completes_with=TilesCompleted, policy=NEEDS_ALL)
@tiler.on(TilesReady, queue="q.mosaic.tiles", prefetch=2)
def lay(event: TilesReady, context: Context) -> dict[str, Any]:
    assert context.asset is not None
    tile = context.asset.asset_id
    note(event, context, TILES)
    if context.job.parameters["poisoned"] and int(tile) == POISONED_TILE and Path(os.environ[POISON]).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    for names in mark_messages(tile):
        context.emit(MarksReady(job_id=event.job_id, event_id=context.new_id(), names=names))
    return {"digest": digest(tile), "marks": MARKS_PER_TILE}


@marker.stage(MARKS, announced_by=MarksBatch, completes_with=MarksCompleted, policy=NEEDS_ALL)
@marker.on(MarksReady, queue="q.mosaic.marks", prefetch=4)
async def mark(event: MarksReady, context: Context) -> dict[str, str]:
    assert context.asset is not None
    note(event, context, MARKS)
    return {"digest": digest(context.asset.asset_id)}


@framer.on(TilesCompleted, queue="q.mosaic.tiles.completed")
def announce_marks(event: TilesCompleted, context: Context) -> None:
    note(event, context, event.topic)
    tiles = context.ledger.assets(event.job_id, TILES, states=[AssetState.DONE], include_late=False)
    deliberate(event)
    total = sum(tile.result["marks"] for tile in tiles if tile.result)
    context.emit(MarksBatch(job_id=event.job_id, event_id=context.new_id(), total=total))


@framer.on(MarksCompleted, queue="q.mosaic.marks.completed")
def frame(event: MarksCompleted, context: Context) -> None:
    note(event, context, event.topic)
    done = context.ledger.assets(event.job_id, MARKS, states=[AssetState.DONE], include_late=False)
    results = [{"mark": mark.asset_id, **(mark.result or {})} for mark in done]
    deliberate(event)
    key = results_key(event.job_id)
    context.objects.put(key, json.dumps(results).encode())
    context.emit(MosaicFinished(job_id=event.job_id, event_id=context.new_id()))
    context.complete_job(output_path=key)


pipeline = Pipeline(
    name=NAME,
    parameters=Parameters,
    submitted=MosaicSubmitted,
    phases=(
        Phase(name="tiles", stages=(TILES,)),
        Phase(name="marks", stages=(MARKS,)),
        Phase(name="frame", stages=None),
    ),
    services=(planner, tiler, marker, framer),
)
