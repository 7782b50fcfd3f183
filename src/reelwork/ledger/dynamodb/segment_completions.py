"""Where others read which segments of a job are converted: the table SegmentCompletions, keyed by job and segment.

A record is written with the asset row of its segment, in one transaction, and ages out by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from reelwork.events.segment_completion import SegmentCompletion
from reelwork.ledger.dynamodb.items import Item, decode, encode

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SEGMENTS_STAGE: Final = "segments"
SEGMENTS_TTL_SECONDS: Final = 90 * 86_400
FIELDS: Final = frozenset(SegmentCompletion.model_fields)


def segment_completion_of(stage: str, result: Mapping[str, Any] | None) -> Item | None:
    """The item of a segment's record, where the result of an asset holds one."""
    if stage != SEGMENTS_STAGE or result is None or not result.keys() >= FIELDS:
        return None
    return {name: result[name] for name in SegmentCompletion.model_fields}


class SegmentCompletionStore:
    """The table by its own name, for whoever reads it, or writes a record by itself."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def put(self, completion: SegmentCompletion) -> None:
        """Whatever is there of this segment is replaced."""
        self._client.put_item(TableName=self._table, Item=encode(completion.model_dump(mode="json")))

    def get(self, job_id: str, segment_index: int) -> SegmentCompletion | None:
        key = encode({"job_id": job_id, "segment_index": segment_index})
        raw = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return None if raw is None else SegmentCompletion.model_validate(decode(raw))

    def of_job(self, job_id: str) -> list[SegmentCompletion]:
        """In the order of their index."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="job_id = :j",
            ExpressionAttributeValues={":j": {"S": job_id}},
            ConsistentRead=True,
        )
        return [SegmentCompletion.model_validate(decode(raw)) for page in pages for raw in page["Items"]]

    def forget(self, job_id: str) -> None:
        for completion in self.of_job(job_id):
            key = encode({"job_id": job_id, "segment_index": completion.segment_index})
            self._client.delete_item(TableName=self._table, Key=key)
