"""Which queues, in which region and behind which endpoint, the URL of an SQS broker means; it holds no credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from reelwork.broker.sqs.names import DEFAULT_PREFIX, POLL_SECONDS_MAX, PREFIX
from reelwork.errors import ConfigurationError

REGION: Final = re.compile(r"[a-z0-9-]{1,32}")
ANSWERS: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
OPTIONS: Final = ("region", "endpoint", "create", "poll")
SUPPORTED: Final = "use sqs://PREFIX?region=REGION, with &create=yes where Reelwork is to make the queues itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsAddress:
    """shown: for people. region, endpoint: None for what the AWS configuration of this machine says. creates: makes
    queues that are not there. poll_seconds: how long SQS waits for a message before it answers that there is none.
    queue_urls: of queues that have names of their own.
    """

    shown: str
    prefix: str
    region: str | None
    endpoint: str | None
    creates: bool
    poll_seconds: int
    queue_urls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        url: str,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        queue_urls: Mapping[str, str] | None = None,
    ) -> SqsAddress:
        """region, endpoint: where the URL names none. Raises ConfigurationError."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigurationError(f"the broker's URL cannot be read; {SUPPORTED}") from None
        if "@" in parts.netloc:
            raise ConfigurationError(
                "credentials do not belong into the URL of SQS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or give the machine a role"
            )
        if parts.scheme != "sqs" or parts.path.strip("/"):
            raise ConfigurationError(f"the broker's URL names no queues of SQS; {SUPPORTED}")
        prefix = parts.netloc or DEFAULT_PREFIX
        if not PREFIX.fullmatch(prefix):
            raise ConfigurationError(f"{prefix!r} cannot be a prefix of queues: 1 to 40 letters, digits and _ -")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = next((name for name in options if name not in OPTIONS), None)
        if unknown is not None:
            raise ConfigurationError(
                f"the broker's URL has an unknown option {unknown!r}; there are {', '.join(OPTIONS)}"
            )
        region = _region(options.get("region") or region or None)
        endpoint = _endpoint(options.get("endpoint") or endpoint or None)
        told = {name: value for name, value in (("region", region), ("endpoint", endpoint)) if value}
        return cls(
            shown=f"sqs://{prefix}{'?' if told else ''}{urlencode(told, safe=':/')}",
            prefix=prefix,
            region=region,
            endpoint=endpoint,
            creates=_answer(options.get("create", "no")),
            poll_seconds=_poll_seconds(options.get("poll", str(POLL_SECONDS_MAX))),
            queue_urls=dict(queue_urls or {}),
        )


def _region(region: str | None) -> str | None:
    if region is not None and not REGION.fullmatch(region):
        raise ConfigurationError(f"{region!r} is no region of AWS; give one such as eu-central-1")
    return region


def _endpoint(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigurationError("the endpoint of SQS must be an address such as http://127.0.0.1:4566")
    return endpoint


def _answer(given: str) -> bool:
    if given not in ANSWERS:
        raise ConfigurationError(f"create={given} in the broker's URL is neither yes nor no")
    return ANSWERS[given]


def _poll_seconds(given: str) -> int:
    if not (given.isascii() and given.isdecimal() and 1 <= int(given) <= POLL_SECONDS_MAX):
        raise ConfigurationError(f"poll={given} in the broker's URL must be 1 to {POLL_SECONDS_MAX} seconds")
    return int(given)
