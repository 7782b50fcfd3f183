"""Where a ledger on DynamoDB is: `dynamodb://PREFIX?region=...&endpoint=...&create=on`.

The credentials come by the usual chain of AWS (environment, profile, role of the machine), never by the URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from reelwork.errors import ConfigurationError
from reelwork.ledger.dynamodb.tables import completions_table_name, ledger_table_name
from reelwork.settings import Config

USAGE: Final = "use dynamodb://TABLE_PREFIX?region=eu-central-1"
OPTIONS: Final = ("region", "endpoint", "create")
PREFIX_PATTERN: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """region, endpoint: None = as AWS is configured here. may_create: makes tables that are missing."""

    url: str
    prefix: str
    completions_table: str
    region: str | None = None
    endpoint: str | None = None
    may_create: bool = False

    @property
    def ledger_table(self) -> str:
        return ledger_table_name(self.prefix)


def parse_address(url: str, *, config: Config | None = None) -> Address:
    """Raises ConfigurationError for what is no such address, naming what is wrong."""
    config = config or Config()
    parsed = urlsplit(url)
    if "@" in parsed.netloc:
        raise ConfigurationError(
            "a dynamodb:// URL carries no credentials: give them in AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, a profile, or a role; {USAGE}"
        )
    prefix = parsed.netloc
    if not PREFIX_PATTERN.fullmatch(prefix) or parsed.path not in ("", "/") or parsed.fragment:
        raise ConfigurationError(f"{url!r:.200} does not name a ledger on DynamoDB; {USAGE}")
    options = dict(parse_qsl(parsed.query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(OPTIONS))
    if unknown:
        raise ConfigurationError(f"a dynamodb:// URL has no option {unknown[0]!r}; known: {', '.join(OPTIONS)}")
    if options.get("create", "off") not in ("on", "off"):
        raise ConfigurationError(f"create={options['create']!r:.40} in a dynamodb:// URL; use create=on or create=off")
    return Address(
        url=url,
        prefix=prefix,
        completions_table=config.SEGMENT_COMPLETIONS_TABLE_NAME or completions_table_name(prefix),
        region=options.get("region") or config.AWS_REGION or None,
        endpoint=options.get("endpoint") or config.AWS_ENDPOINT_URL or None,
        may_create=options.get("create") == "on",
    )
