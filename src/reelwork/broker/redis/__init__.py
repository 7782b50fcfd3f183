"""A broker on Redis Streams, for Redis 7 or later and Valkey."""

from reelwork.broker.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
