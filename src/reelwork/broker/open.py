"""Which broker a URL means."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from reelwork.broker.base import DEFAULT_LEASE_SECONDS, Broker
from reelwork.errors import ConfigurationError

SUPPORTED = (
    "use sql:, redis://user:password@host:6379/0 (rediss:// with TLS), "
    "amqp://user:password@host:5672/vhost (amqps:// with TLS) or sqs://prefix?region=REGION"
)
EXTRAS: Final = {"redis": "redis", "rediss": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq", "sqs": "aws"}
PACKAGES: Final = {"redis": "redis", "rabbitmq": "aiormq", "aws": "aiobotocore"}


def open_broker(
    url: str,
    *,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
    lease_owner: str | None = None,
    region: str | None = None,
    endpoint: str | None = None,
    queue_urls: Mapping[str, str] | None = None,
) -> Broker | None:
    """None for `sql:`, which is made with the ledger. Connects nowhere. Raises ConfigurationError.

    lease_owner: names this process, so that its supervisor can hand back what it held. region, endpoint: of AWS, where
    the URL of SQS names none. queue_urls: of queues in SQS that have names of their own.
    """
    scheme = url.partition(":")[0]
    if url == "sql:":
        return None
    extra = EXTRAS.get(scheme)
    if extra is None:
        shown = repr(url) if "@" not in url else f"{scheme}://..."
        raise ConfigurationError(f"broker {shown} is not supported; {SUPPORTED}")
    if find_spec(PACKAGES[extra]) is None:
        raise ConfigurationError(
            f"the broker {scheme}:// needs {PACKAGES[extra]}, which is not installed; "
            f"fix it with: pip install 'reelwork[{extra}]'"
        )
    if extra == "rabbitmq":
        from reelwork.broker.rabbitmq import RabbitBroker

        return RabbitBroker(url, lease_seconds=lease_seconds, lease_owner=lease_owner)
    if extra == "aws":
        from reelwork.broker.sqs import SqsBroker

        return SqsBroker(url, region=region, endpoint=endpoint, queue_urls=queue_urls, lease_seconds=lease_seconds)
    from reelwork.broker.redis import RedisBroker

    return RedisBroker(url, lease_seconds=lease_seconds, lease_owner=lease_owner)
