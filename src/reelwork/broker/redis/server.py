"""The connections of this process to one Redis server, and the scripts that run in it.

A script is all or nothing, also in the server's log and on its replicas. Errors never show the password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import AuthenticationError, ConnectionError, ReadOnlyError, RedisError, ResponseError

from reelwork.broker.redis.address import RedisAddress
from reelwork.errors import ConfigurationError, StoreUnavailable

CONNECTIONS_MAX: Final = 16
CONNECT_SECONDS_MAX: Final = 5.0
ANSWER_SECONDS_MAX: Final = 10.0
RETRY_PAUSES_SECONDS: Final = (0.05, 0.2, 0.8)
"""Between the tries of what may run twice, when the connection was refused or broke."""
VERSION_MIN: Final = 7
ALLOWED_WHEN_FULL: Final = "#!lua flags=allow-oom\n"
REFUSED_WHEN_FULL: Final = "#!lua\n"
T = TypeVar("T")


class RedisServer:
    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        try:
            pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
                address.url,
                max_connections=CONNECTIONS_MAX,
                timeout=ANSWER_SECONDS_MAX,
                socket_timeout=ANSWER_SECONDS_MAX,
                socket_connect_timeout=CONNECT_SECONDS_MAX,
                encoding_errors="replace",
                decode_responses=True,
                protocol=2,
            )
            pool.make_connection()  # type: ignore[no-untyped-call]  # connects nowhere: it refuses options that it does not know
        except (TypeError, ValueError, RedisError) as error:
            raise ConfigurationError(f"the URL of the broker {address.shown} has an unusable option: {error}") from None
        self.redis: Redis = Redis.from_pool(pool)
        self._scripts: dict[str, Callable[..., Awaitable[Any]]] = {}

    async def run(
        self, script: str, keys: Sequence[str], arguments: Sequence[Any] = (), *, may_run_twice: bool = True
    ) -> Any:
        """Raises StoreUnavailable; where it may not run twice, nobody knows then whether it has run."""
        registered = self._scripts.get(script)
        if registered is None:
            registered = self._scripts[script] = self.redis.register_script(_text(script))
        return await self.call(lambda: registered(keys=keys, args=arguments), may_run_twice=may_run_twice)

    async def call(self, command: Callable[[], Awaitable[T]], *, may_run_twice: bool = True) -> T:
        """Raises StoreUnavailable."""
        pauses = iter(RETRY_PAUSES_SECONDS if may_run_twice else ())
        while True:
            try:
                return await command()
            except (ConnectionError, OSError) as error:
                pause = next(pauses, None)
                if pause is None or isinstance(error, AuthenticationError):
                    raise self._unavailable(error) from error
                await asyncio.sleep(pause)
            except ReadOnlyError as error:  # it is a replica by now: its name may mean another server
                await self.redis.connection_pool.disconnect(inuse_connections=False)
                raise self._unavailable(error) from error
            except ResponseError as error:
                raise StoreUnavailable(f"the broker {self.address.shown} refuses: {error}") from error
            except RedisError as error:
                raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"the broker {self.address.shown} does not answer: {error}")

    async def check(self) -> None:
        """Raises ConfigurationError for a server that cannot carry the queues, StoreUnavailable where there is none."""
        shown = self.address.shown
        try:
            await self.redis.ping()
            about = await self.redis.info()
        except AuthenticationError as error:
            raise ConfigurationError(f"the broker {shown} does not let this user in: {error}") from error
        except ResponseError as error:
            raise ConfigurationError(f"the broker {shown} refuses what is needed of it: {error}") from error
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from error
        if about.get("cluster_enabled"):
            raise ConfigurationError(
                f"{shown} is a Redis Cluster, which is not supported: give one server, or a primary with replicas"
            )
        if int(str(about.get("redis_version", VERSION_MIN)).partition(".")[0]) < VERSION_MIN:
            raise ConfigurationError(
                f"{shown} is Redis {about['redis_version']}; Redis 7 or later, or Valkey, is needed"
            )
        if about.get("maxmemory") and str(about.get("maxmemory_policy")).startswith("allkeys"):
            raise ConfigurationError(
                f"{shown} throws messages away when it is full (maxmemory-policy {about['maxmemory_policy']}); "
                "set maxmemory-policy to noeviction"
            )

    async def close(self) -> None:
        await self.redis.aclose()
        await self.redis.connection_pool.aclose()


@cache
def _text(script: str) -> str:
    """What takes out of a queue must also run when the server is full; publishing must not."""
    folder = files("reelwork.broker.redis").joinpath("scripts")
    header = REFUSED_WHEN_FULL if script == "publish" else ALLOWED_WHEN_FULL
    prelude, own = (folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in ("prelude", script))
    return header + prelude + own
