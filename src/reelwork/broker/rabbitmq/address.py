"""Which server, virtual host and names the URL of a RabbitMQ broker means. Nothing here shows its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from reelwork.errors import ConfigurationError

SCHEMES: Final = ("amqp", "amqps")
PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
FILES: Final = ("cafile", "capath", "certfile", "keyfile")
CONSUMER_TIMEOUT_SECONDS: Final = 1_800.0
"""RabbitMQ's own default."""
CONSUMER_TIMEOUT_SECONDS_MIN: Final = 60.0
HEARTBEAT_SECONDS: Final = 15
"""A peer that is silent for about twice as long is taken for dead."""
SUPPORTED: Final = "use amqp://user:password@host:5672/vhost, or amqps:// for TLS, with ?prefix=NAME before its names"


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitAddress:
    """url: for the client library, with the password and without what is Reelwork's own. shown: for people. prefix:
    what the names of all queues and exchanges begin with. consumer_timeout_seconds: how long the server lets a delivery
    be in hand.
    """

    url: str = field(repr=False)
    shown: str
    vhost: str
    user: str
    prefix: str
    consumer_timeout_seconds: float

    @classmethod
    def of(cls, url: str) -> RabbitAddress:
        """Raises ConfigurationError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigurationError(f"the broker's URL cannot be read; {SUPPORTED}") from None
        if parts.scheme not in SCHEMES or not host:
            raise ConfigurationError(f"the broker's URL names no RabbitMQ server; {SUPPORTED}")
        vhost = unquote(parts.path[1:]) or "/"
        if "/" in parts.path[1:]:
            raise ConfigurationError(f"{vhost!r} is not one virtual host; write / inside its name as %2F; {SUPPORTED}")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix = options.pop("prefix", "")
        if prefix and not PREFIX.fullmatch(prefix):
            raise ConfigurationError(f"{prefix!r} cannot be a prefix of queues: 1 to 64 letters, digits and _ -")
        timeout = _seconds(
            options.pop("consumer_timeout", None), CONSUMER_TIMEOUT_SECONDS, CONSUMER_TIMEOUT_SECONDS_MIN
        )
        heartbeat = _seconds(options.pop("heartbeat", None), HEARTBEAT_SECONDS, 1)
        _check_files(options, is_encrypted=parts.scheme == "amqps")
        options["heartbeat"] = str(round(heartbeat))
        shown_host = f"[{host}]" if ":" in host else host
        user = f"{parts.username or ''}:***@" if parts.password is not None else ""
        return cls(
            url=urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(options), "")),
            shown=f"{parts.scheme}://{user}{shown_host}{f':{port}' if port else ''}/{'' if vhost == '/' else vhost}",
            vhost=vhost,
            user=unquote(parts.username or "guest"),
            prefix=f"{prefix}." if prefix else "",
            consumer_timeout_seconds=timeout,
        )


def _seconds(given: str | None, default: float, least: float) -> float:
    try:
        seconds = default if given is None else float(given)
    except ValueError:
        raise ConfigurationError(f"{given!r} in the broker's URL is not a number of seconds") from None
    if not least <= seconds <= 10_000_000:
        raise ConfigurationError(f"{given!r} in the broker's URL must be {least:g} seconds or more")
    return seconds


def _check_files(options: dict[str, str], *, is_encrypted: bool) -> None:
    """The library takes what it does not know for nothing, and reads the files only when it connects."""
    for name, value in options.items():
        if name not in FILES:
            known = ", ".join(("prefix", "consumer_timeout", "heartbeat", *FILES))
            raise ConfigurationError(f"the broker's URL has an unknown option {name!r}; there are {known}")
        if not is_encrypted:
            raise ConfigurationError(f"{name} in the broker's URL is for TLS: begin the URL with amqps://")
        if not Path(value).exists():
            raise ConfigurationError(f"{name} in the broker's URL names {value!r}, which is not there")
