"""A broker that dies with its last messages loses no asset: the outbox still has them, and the sweeper looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reelwork.ledger import AssetState
from reelwork.runtime.context import Context
from tests.house import ITEMS, ItemsReady, open_house, run, stage_service
from tests.valkey import ValkeyServer, valkey_server

DONE = AssetState.DONE
REPUBLISH_SECONDS = 300
NAMES = "abcdef"


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server(save="3600 1") as server:
        yield server


def handle_items_ready(_event: ItemsReady, _context: Context) -> None: ...


def test_what_waited_and_what_was_in_hand_is_done_once(tmp_path: Path, valkey: ValkeyServer) -> None:
    async def test() -> None:
        async with open_house(tmp_path, stage_service(handle_items_ready), REELWORK_BROKER_URL=valkey.url()) as house:
            job_id = house.start()
            house.announce(job_id, len(NAMES))
            await house.settle()
            house.send(job_id, "a")
            await house.relay.publish_batch()
            valkey.execute("SAVE")
            for name in NAMES[1:]:
                house.send(job_id, name)
            first, in_hand = await house.take(ITEMS, limit=2)
            await house.handle(first)
            valkey.kill()
            valkey.restart()
            await house.handle(in_hand)  # its acknowledgement finds nothing
            await house.settle()
            assert house.states(job_id) == {"a": DONE, "b": DONE}
            house.clock.advance(REPUBLISH_SECONDS)
            await house.sweeper().sweep()
            await house.settle()
            assert house.states(job_id) == dict.fromkeys(NAMES, DONE)
            assert house.topics(job_id).count("tiny.items.completed") == 1
            assert (house.stage(job_id).done, house.stage(job_id).late, house.letters()) == (len(NAMES), 0, [])
            house.clock.advance(2 * REPUBLISH_SECONDS)
            await house.sweeper().sweep()
            assert not await house.step(), "nothing is sent again that was consumed"
            assert await house.broker.holds(job_id, [ITEMS]) is False

    run(test())
