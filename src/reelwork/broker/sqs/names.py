"""The names of all queues that Reelwork has in SQS, and with which attributes each is made.

Whoever makes them by other means, such as the CloudFormation template, makes them as they are here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from reelwork.broker.base import DELIVERIES_MAX
from reelwork.errors import ConfigurationError

DEFAULT_PREFIX: Final = "reelwork"
PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
SPELLABLE: Final = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
NAME_CHARACTERS_MAX: Final = 80
DEAD: Final = "-dlq"
RETENTION_SECONDS: Final = 14 * 86_400
"""The longest there is."""
POLL_SECONDS_MAX: Final = 20
VISIBILITY_SECONDS: Final = 30
"""For whoever else takes from the queue; Reelwork says it each time."""
COMMON: Final[Mapping[str, str]] = {"MessageRetentionPeriod": str(RETENTION_SECONDS), "SqsManagedSseEnabled": "true"}


class Names:
    """prefix: of every name."""

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        self._prefix = prefix

    def queue(self, queue: str) -> str:
        """As SQS can spell it: a hyphen for a dot, two for a hyphen; `q.matcher.requests` is
        `reelwork-q-matcher-requests`. Raises ConfigurationError for what cannot be spelt.
        """
        if not SPELLABLE.fullmatch(queue):
            raise ConfigurationError(
                f"queue {queue!r} has no name in SQS: use letters, digits and _, with single dots or hyphens between"
            )
        name = f"{self._prefix}-{queue.replace('-', '--').replace('.', '-')}"
        if len(name) + len(DEAD) > NAME_CHARACTERS_MAX:
            raise ConfigurationError(
                f"the name {name}{DEAD} is longer than the {NAME_CHARACTERS_MAX} characters of SQS: "
                "shorten the prefix in the broker's URL"
            )
        return name

    def dead(self, queue: str) -> str:
        """The queue of what SQS itself gave up on."""
        return f"{self.queue(queue)}{DEAD}"


def queue_attributes(dead_arn: str) -> dict[str, str]:
    """As CreateQueue takes them. dead_arn: of the queue for what is given up."""
    redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": DELIVERIES_MAX}
    return {
        **COMMON,
        "VisibilityTimeout": str(VISIBILITY_SECONDS),
        "ReceiveMessageWaitTimeSeconds": str(POLL_SECONDS_MAX),
        "RedrivePolicy": json.dumps(redrive),
    }


def dead_attributes() -> dict[str, str]:
    return dict(COMMON)
