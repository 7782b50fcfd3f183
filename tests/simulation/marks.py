"""What may have killed its worker is marked before it is touched, and nothing else is marked with it: or a neighbour
would be blamed for a death that was not its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence

from reelwork.ledger import Work
from tests.simulation.pipeline import READY
from tests.simulation.process import Process


def marked(works: Sequence[Work], results: Sequence[object]) -> set[tuple[str, str]]:
    """The assets, as (job id, thing), that works mark as started, of which somebody was told that they are recorded."""
    told = [work for work, result in zip(works, results, strict=True) if isinstance(result, list)]
    updates = [update for work in told for update in work.stages]
    return {(update.job_id, f"{update.stage}/{asset_id}") for update in updates for asset_id in update.started}


def check_marks(
    process: Process, job_id: str, thing: str, *, cancelled: Collection[str], insist: Callable[[bool, str], None]
) -> None:
    """When a process touches an asset. cancelled: jobs whose assets may be left alone after they were marked."""
    before, process.marked = process.marked, set()
    stage, _, name = thing.partition("/")
    messages = [
        delivery
        for delivery in process.in_hand.values()
        if (delivery.message.job_id, delivery.message.topic) == (job_id, READY[stage].topic)
        and name in json.loads(delivery.message.body)["names"]
    ]
    if messages and all(delivery.is_suspect for delivery in messages):
        insist((job_id, thing) in before, f"{thing} is a suspect, and was touched without a mark")
    others = [other for of, other in sorted(before) if other != thing and of not in cancelled]
    insist(not others, f"{others} were marked as started, and {thing} was touched")
