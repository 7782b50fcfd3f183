"""Which broker a URL means."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from reelwork.broker.base import DEFAULT_LEASE_SECONDS, Broker
from reelwork.errors import ConfigurationError

SUPPORTED = (
    "use sql:, redis://user:password@host:6379/0 (rediss:// with TLS) "
    "or amqp://user:password@host:5672/vhost (amqps:// with TLS)"
)
EXTRAS: Final = {"redis": "redis", "rediss": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq"}
PACKAGES: Final = {"redis": "redis", "rabbitmq": "aiormq"}


def open_broker(
    url: str, *, lease_seconds: float = DEFAULT_LEASE_SECONDS, lease_owner: str | None = None
) -> Broker | None:
    """None for `sql:`, which is made with the ledger. Connects nowhere. Raises ConfigurationError.

    lease_owner: names this process, so that its supervisor can hand back what it held.
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
    from reelwork.broker.redis import RedisBroker

    return RedisBroker(url, lease_seconds=lease_seconds, lease_owner=lease_owner)
