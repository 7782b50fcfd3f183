"""Which broker a URL means; what cannot be used is a sentence without the password."""

from __future__ import annotations

import asyncio
import sys

import pytest

from reelwork.broker import open_broker
from reelwork.broker.rabbitmq import RabbitBroker
from reelwork.broker.rabbitmq.address import RabbitAddress
from reelwork.broker.redis.address import RedisAddress
from reelwork.broker.sqs.address import SqsAddress
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


@pytest.mark.parametrize("url", ["amqp://host", "amqps://user:s3cret@host:7000/studio?prefix=studio"])
def test_rabbitmq(url: str) -> None:
    broker = open_broker(url)
    assert broker is not None
    assert broker.name.startswith(f"{url.partition(':')[0]}://")
    assert "s3cret" not in broker.name
    asyncio.run(broker.close())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nats:", "broker 'nats:' is not supported; use sql:, redis://"),
        ("kafka://user:s3cret@host", "broker kafka://... is not supported"),
        ("redis:", "names no Redis server"),
        ("redis://host:port", "cannot be read"),
        ("redis://:s3cret@host/first", "'first' is not the number of a Redis database"),  # redis-py would take 0
        ("redis://:s3cret@host?prefix=a%20b", "'a b' cannot be a prefix"),
        ("redis://:s3cret@host?prefix=", "'' cannot be a prefix"),
        ("redis://:s3cret@host?colour=red", "unusable option: .*colour"),
        ("redis://:s3cret@host?socket_timeout=long", "unusable option: .*socket_timeout"),
        ("amqp:", "names no RabbitMQ server"),
        ("amqp://host:port", "cannot be read"),
        ("amqp://user:s3cret@host/a/b", "'a/b' is not one virtual host; write / inside its name as %2F"),
        ("amqp://user:s3cret@host?prefix=a.b", "'a.b' cannot be a prefix"),
        ("amqp://user:s3cret@host?colour=red", "unknown option 'colour'; there are prefix, consumer_timeout"),
        ("amqp://user:s3cret@host?heartbeat=often", "'often' in the broker's URL is not a number of seconds"),
        ("amqp://user:s3cret@host?heartbeat=nan", "'nan' in the broker's URL must be 1 seconds or more"),
        ("amqp://user:s3cret@host?consumer_timeout=5", "'5' in the broker's URL must be 60 seconds or more"),
        (
            "amqp://user:s3cret@host?cafile=/etc/hosts",
            "cafile in the broker's URL is for TLS: begin the URL with amqps",
        ),
        ("sqs://key:s3cret@studio", "credentials do not belong into the URL of SQS: set AWS_ACCESS_KEY_ID"),
        ("sqs://studio/queue", "names no queues of SQS"),
        ("sqs://a.b", "'a.b' cannot be a prefix of queues"),
        ("sqs://studio?colour=red", "unknown option 'colour'; there are region, endpoint, create, poll"),
        ("sqs://studio?region=Frankfurt", "'Frankfurt' is no region of AWS"),
        ("sqs://studio?endpoint=localhost:4566", "the endpoint of SQS must be an address such as http://"),
        ("sqs://studio?create=maybe", "create=maybe in the broker's URL is neither yes nor no"),
        ("sqs://studio?poll=60", "poll=60 in the broker's URL must be 1 to 20 seconds"),
        ("amqps://user:s3cret@host?cafile=/no/such", "cafile in the broker's URL names '/no/such', which is not there"),
    ],
)
def test_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        open_broker(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "package", "extra"),
    [("redis", "redis", "redis"), ("amqp", "aiormq", "rabbitmq"), ("sqs", "aiobotocore", "aws")],
)
def test_without_its_package_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, scheme: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'reelwork\[{extra}\]'"):
        open_broker(f"{scheme}://host")


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


@pytest.mark.parametrize(
    ("url", "shown", "vhost", "user", "prefix"),
    [
        ("amqp://host", "amqp://host/", "/", "guest", ""),
        ("amqp://host/", "amqp://host/", "/", "guest", ""),
        ("amqp://host/%2F", "amqp://host/", "/", "guest", ""),
        ("amqp://user:s3cret@host:7000/a%2Fb", "amqp://user:***@host:7000/a/b", "a/b", "user", ""),
        ("amqps://u%40x:s3cret@[::1]/v?prefix=studio", "amqps://u%40x:***@[::1]/v", "v", "u@x", "studio."),
    ],
)
def test_an_address_of_rabbitmq(url: str, shown: str, vhost: str, user: str, prefix: str) -> None:
    address = RabbitAddress.of(url)
    assert (address.shown, address.vhost, address.user, address.prefix) == (shown, vhost, user, prefix)
    assert (address.consumer_timeout_seconds, "prefix" in address.url) == (1_800, False)
    assert ("s3cret" in address.url) == ("s3cret" in url)
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "shown", "creates", "poll_seconds"),
    [
        ("sqs:", "sqs://reelwork?region=eu-central-1&endpoint=http://127.0.0.1:4566", False, 20),
        ("sqs://studio?region=us-east-1", "sqs://studio?region=us-east-1&endpoint=http://127.0.0.1:4566", False, 20),
        (
            "sqs://?endpoint=https://h&create=yes&poll=5",
            "sqs://reelwork?region=eu-central-1&endpoint=https://h",
            True,
            5,
        ),
    ],
)
def test_an_address_of_sqs(url: str, shown: str, creates: bool, poll_seconds: int) -> None:
    """What the URL does not name is taken from the settings of AWS."""
    address = SqsAddress.of(url, region="eu-central-1", endpoint="http://127.0.0.1:4566")
    assert (address.shown, address.creates, address.poll_seconds) == (shown, creates, poll_seconds)
    assert SqsAddress.of("sqs://studio").shown == "sqs://studio"


def test_how_long_rabbitmq_lets_a_delivery_be_in_hand() -> None:
    broker = RabbitBroker("amqp://user:s3cret@host?consumer_timeout=3600")
    broker.check_handling(3_599)
    with pytest.raises(ConfigurationError, match=r"takes back what it was given after 3600 s.*consumer_timeout=4320"):
        broker.check_handling(3_600)
