"""Whoever cannot open everything leaves nothing open, and whoever only looks changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelwork.broker.redis import RedisBroker
from reelwork.errors import ConfigurationError
from reelwork.runtime import Catalogue
from reelwork.runtime.backends import open_backends
from tests.house import config_in, pipeline_of, plain_service, run, with_database
from tests.valkey import fresh_url, shared_server


def nothing(_event: object, _context: object) -> None: ...


def streams(url: str) -> list[str]:
    return list(shared_server().execute("KEYS", f"{url.rpartition('=')[2]}:*"))


def test_looking_makes_no_queues(tmp_path: Path) -> None:
    catalogue = Catalogue.of([pipeline_of(plain_service(nothing))])
    url = fresh_url()
    config = config_in(with_database(tmp_path), REELWORK_BROKER_URL=url)

    async def test() -> None:
        looking = await open_backends(config, catalogue=catalogue, declares=False)
        assert looking.broker.topology.queues("tiny.submitted") == {"q.tiny.plans"}
        assert not await looking.broker.holds("job", ["q.tiny.plans"])
        assert streams(url) == []
        await looking.close()
        working = await open_backends(config, catalogue=catalogue)
        assert streams(url) == [f"{url.rpartition('=')[2]}:q.tiny.plans"]
        await working.close()

    run(test())


@pytest.mark.parametrize(
    ("setting", "value"),
    [("REELWORK_DATABASE_URL", "sqlite:////proc/none/reelwork.db"), ("REELWORK_OBJECTS_URL", "gopher://none")],
)
def test_the_broker_is_closed_when_something_else_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    closed: list[Any] = []
    close = RedisBroker.close

    async def closing(self: RedisBroker) -> None:
        closed.append(self)
        await close(self)

    monkeypatch.setattr(RedisBroker, "close", closing)
    config = config_in(with_database(tmp_path), REELWORK_BROKER_URL=fresh_url(), **{setting: value})

    async def test() -> None:
        with pytest.raises(ConfigurationError):
            await open_backends(config)

    run(test())
    assert len(closed) == 1
