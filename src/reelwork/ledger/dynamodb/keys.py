"""Where each thing lies: keys of the ledger's table and of its indexes. Two things never have one key.

What belongs to a job lies together, but for its assets: those of a stage are spread over ASSET_SHARDS partitions,
because one partition takes 1,000 write units a second.
"""

from __future__ import annotations

import hashlib
from typing import Final
from zlib import crc32

from reelwork.ledger.dynamodb.items import Key

ASSET_SHARDS: Final = 8
EVENT_SHARDS: Final = 4
"""Of the index of events on their way: every group that has events writes there."""
PART_BYTES_MAX: Final = 300
PART_CHARACTERS_KEPT: Final = 60

JOBS: Final = "jobs"
LETTERS: Final = "letters"
OPEN_STAGES: Final = "open"
DUE_STAGES: Final = "due"
UNPUBLISHED: Final = "unpublished"
UNFINISHED: Final = "unfinished"


def job_key(job_id: str) -> Key:
    return f"job#{_part(job_id)}", "job"


def stage_key(job_id: str, stage: str) -> Key:
    return job_key(job_id)[0], f"{STAGE_PREFIX}{_part(stage)}"


STAGE_PREFIX: Final = "stage#"
CONFLICT_PREFIX: Final = "conflict#"


def conflict_key(job_id: str, sequence: int) -> Key:
    return job_key(job_id)[0], f"{CONFLICT_PREFIX}{number(sequence)}"


def asset_partition(job_id: str, stage: str, shard: int) -> str:
    return f"assets#{_part(job_id)}#{_part(stage)}#{shard}"


def asset_shard(asset_id: str) -> int:
    return crc32(asset_id.encode()) % ASSET_SHARDS


def asset_key(job_id: str, stage: str, asset_id: str) -> Key:
    """The id is the range key as it is: 256 characters of four bytes just fit, and are in their order."""
    return asset_partition(job_id, stage, asset_shard(asset_id)), asset_id


def outbox_partition(job_id: str) -> str:
    return f"outbox#{_part(job_id)}"


def outbox_key(job_id: str, sequence: int) -> Key:
    return outbox_partition(job_id), number(sequence)


def event_key(event_id: str) -> Key:
    return f"event#{_part(event_id)}", "event"


def batch_key(event_ids: list[str]) -> Key:
    """Of many events that are recorded together or not at all."""
    return f"batch#{_digest(chr(0).join(event_ids))}", "event"


def letter_key(dead_letter_id: int) -> Key:
    return f"letter#{number(dead_letter_id)}", "letter"


def message_key(job_id: str, queue: str, event_id: str, body: str) -> Key:
    """Of the dead letter that stands for a message until it is replayed."""
    return f"message#{_digest(chr(0).join((job_id, queue, event_id, body)))}", "letter"


def submission_key(idempotency_key: str) -> Key:
    return f"submission#{_part(idempotency_key)}", "job"


def lease_key(name: str) -> Key:
    return f"lease#{_part(name)}", "lease"


NODES: Final[Key] = ("nodes", "nodes")


def events_on_their_way(agenda: str, job_id: str) -> str:
    """agenda: UNPUBLISHED or UNFINISHED. Those of one job are on one shard, in their order."""
    return f"{agenda}#{crc32(job_id.encode()) % EVENT_SHARDS}"


def jobs_alive(status: str) -> str:
    return f"alive#{status}"


def jobs_unswept(status: str) -> str:
    return f"unswept#{status}"


def letters_of(job_id: str) -> str:
    return f"letters#{_part(job_id)}"


def failed_assets_of(job_id: str, stage: str) -> str:
    return f"failed#{_part(job_id)}#{_part(stage)}"


def birth_order(created_at: int, job_id: str) -> str:
    return f"{number(created_at)}#{_part(job_id)}"


def stage_order(job_id: str, stage: str) -> str:
    return f"{_part(job_id)}#{_part(stage)}"


def job_order(job_id: str) -> str:
    return _part(job_id)


def number(value: int) -> str:
    """In the order of numbers, for those of zero or more."""
    return f"{value:020d}"


def _part(text: str) -> str:
    """One part of a key: no other text gives the same, none holds the sign between parts."""
    quoted = text.replace("%", "%25").replace("#", "%23").replace("~", "%7E")
    if len(quoted) <= PART_BYTES_MAX // 4 or len(quoted.encode()) <= PART_BYTES_MAX:
        return quoted
    return f"{quoted[:PART_CHARACTERS_KEPT]}~{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
