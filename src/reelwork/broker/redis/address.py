"""Which server, database and key prefix the URL of a Redis broker means. Nothing here shows its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from reelwork.errors import ConfigurationError

SCHEMES: Final = ("redis", "rediss")
DEFAULT_PREFIX: Final = "reelwork"
PREFIX: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
SUPPORTED: Final = "use redis://user:password@host:6379/0, or rediss:// for TLS, with ?prefix=NAME before its keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """url: for redis-py, with the password. shown: for people. prefix: what every key begins with."""

    url: str = field(repr=False)
    shown: str
    database: int
    prefix: str = DEFAULT_PREFIX

    @classmethod
    def of(cls, url: str) -> RedisAddress:
        """Raises ConfigurationError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigurationError(f"the broker's URL cannot be read; {SUPPORTED}") from None
        if parts.scheme not in SCHEMES or not host:
            raise ConfigurationError(f"the broker's URL names no Redis server; {SUPPORTED}")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix = options.pop("prefix", DEFAULT_PREFIX)
        if not PREFIX.fullmatch(prefix):
            raise ConfigurationError(f"{prefix!r} cannot be a prefix of keys: 1 to 64 letters, digits and _ . : -")
        database = options.get("db", parts.path.strip("/") or "0")
        if not (database.isascii() and database.isdecimal()):
            raise ConfigurationError(f"{database!r} is not the number of a Redis database; {SUPPORTED}")
        user = f"{parts.username or ''}:***@" if parts.password is not None else ""
        shown_host = f"[{host}]" if ":" in host else host
        shown = f"{parts.scheme}://{user}{shown_host}{f':{port}' if port else ''}/{database}"
        stripped = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(options), ""))
        return cls(url=stripped, shown=shown, database=int(database), prefix=prefix)
