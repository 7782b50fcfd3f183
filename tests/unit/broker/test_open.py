"""Which broker a URL means; what cannot be used is a sentence without the password."""

from __future__ import annotations

import asyncio
import sys

import pytest

from reelwork.broker import open_broker
from reelwork.broker.redis.address import RedisAddress
from reelwork.errors import ConfigurationError


def test_the_ledgers_own_is_made_with_the_ledger() -> None:
    assert open_broker("sql:") is None


@pytest.mark.parametrize("url", ["redis://host", "rediss://user:s3cret@host:7000/3?prefix=studio"])
def test_redis(url: str) -> None:
    broker = open_broker(url)
    assert broker is not None
    assert broker.name.startswith(f"{url.partition(':')[0]}://")
    assert "s3cret" not in broker.name
    asyncio.run(broker.close())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqs:", "broker 'sqs:' is not supported; use sql: or redis://"),
        ("kafka://user:s3cret@host", "broker kafka://... is not supported"),
        ("redis:", "names no Redis server"),
        ("redis://host:port", "cannot be read"),
        ("redis://:s3cret@host/first", "'first' is not the number of a Redis database"),  # redis-py would take 0
        ("redis://:s3cret@host?prefix=a%20b", "'a b' cannot be a prefix"),
        ("redis://:s3cret@host?prefix=", "'' cannot be a prefix"),
        ("redis://:s3cret@host?colour=red", "unusable option: .*colour"),
        ("redis://:s3cret@host?socket_timeout=long", "unusable option: .*socket_timeout"),
    ],
)
def test_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        open_broker(url)
    assert "s3cret" not in str(caught.value)


def test_without_its_package_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'reelwork\[redis\]'"):
        open_broker("redis://host")


@pytest.mark.parametrize(
    ("url", "shown", "database", "prefix"),
    [
        ("redis://host", "redis://host/0", 0, "reelwork"),
        ("redis://host:7000/2", "redis://host:7000/2", 2, "reelwork"),
        ("redis://:s3cret@host?db=4", "redis://:***@host/4", 4, "reelwork"),
        ("rediss://user:s3cret@[::1]:7000/1?prefix=studio:a", "rediss://user:***@[::1]:7000/1", 1, "studio:a"),
        ("redis://host?password=s3cret", "redis://host/0", 0, "reelwork"),
    ],
)
def test_an_address(url: str, shown: str, database: int, prefix: str) -> None:
    address = RedisAddress.of(url)
    assert (address.shown, address.database, address.prefix) == (shown, database, prefix)
    assert "prefix" not in address.url
    assert ("s3cret" in address.url) == ("s3cret" in url)
    assert "s3cret" not in repr(address)
