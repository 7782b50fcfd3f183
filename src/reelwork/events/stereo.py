"""The topics of the stereo pipeline. A segment that waits is told of as a bucket does it: by an S3 notification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Final, Self
from urllib.parse import quote_plus, unquote_plus
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from reelwork.events.event import (
    Announcement,
    Asset,
    AssetEvent,
    Count,
    Event,
    JobId,
    StageCompleted,
    stable_event_id,
)
from reelwork.events.segment_key import VideoWorkerPayload, parse_segment_key, segment_key_fault

FINAL_ASSET: Final = "final"
CREATED: Final = "ObjectCreated:"
DERIVED: Final = ("job_id", "event_id")


class StereoSubmitted(Event):
    """A video was accepted; the chunking-worker looks where it can be cut."""

    topic = "stereo.submitted"


class SegmentsPlanned(Announcement):
    """Where the video is cut. plan_key: of the object with the cut points."""

    topic = "segments.planned"

    total_segments: Annotated[Count, Field(ge=1)]
    plan_key: str

    @property
    def expected(self) -> int:
        return self.total_segments


class _Foreign(BaseModel):
    """A part of what S3 says; it says more than is needed here, and more with time."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class S3Bucket(_Foreign):
    name: Annotated[str, Field(min_length=1)]


class S3Object(_Foreign):
    """key: URL-encoded, as S3 sends it. sequencer: grows with every write of this key."""

    key: str
    size: Count
    sequencer: str


class S3Entity(_Foreign):
    bucket: S3Bucket
    object: S3Object


class S3Record(_Foreign):
    eventName: Annotated[str, Field(pattern=f"^{CREATED}")]  # noqa: N815 the name is Amazon's
    s3: S3Entity

    @property
    def key(self) -> str:
        return unquote_plus(self.s3.object.key)


class SegmentUploaded(AssetEvent):
    """A segment lies in the bucket and waits for a video-worker.

    The body is an S3 event notification with one record; job and event id come from it.
    """

    topic = "segment.uploaded"
    is_told_by_bucket = True
    model_config = ConfigDict(frozen=True, extra="ignore", ignored_types=(cached_property,))

    job_id: JobId = Field(exclude=True)
    event_id: UUID = Field(exclude=True)
    Records: Annotated[tuple[S3Record, ...], Field(min_length=1, max_length=1)]

    @classmethod
    def of(cls, bucket: str, key: str, *, size: int, sequencer: str) -> Self:
        """What a bucket would say of an object, in bytes."""
        stored = {"key": quote_plus(key, safe="/"), "size": size, "sequencer": sequencer}
        entity = {"bucket": {"name": bucket}, "object": stored}
        return cls.model_validate({"Records": [{"eventName": f"{CREATED}Put", "s3": entity}]})

    @model_validator(mode="before")
    @classmethod
    def _identify(cls, given: Any) -> Any:
        """Raises ValueError for a record of something else than a segment."""
        if not isinstance(given, Mapping) or not isinstance(given.get("Records"), Sequence):
            return given
        records = [S3Record.model_validate(record) for record in given["Records"]]
        if len(records) != 1:
            return given
        (record,) = records
        fault = segment_key_fault(record.key)
        if fault is not None:
            raise ValueError(fault)
        payload = parse_segment_key(record.s3.bucket.name, record.key)
        assert payload is not None
        name = f"{record.s3.bucket.name}/{record.key}/{record.s3.object.sequencer}"
        return {"Records": records, "job_id": payload.job_id, "event_id": stable_event_id(name)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What is read out of the record is no part of the contract."""
        schema = handler(core_schema)
        described = handler.resolve_ref_schema(schema)
        described["properties"] = {n: p for n, p in described["properties"].items() if n not in DERIVED}
        described["required"] = [name for name in described["required"] if name not in DERIVED]
        return schema

    @property
    def key(self) -> str:
        (record,) = self.Records
        return record.key

    @cached_property
    def payload(self) -> VideoWorkerPayload:
        (record,) = self.Records
        payload = parse_segment_key(record.s3.bucket.name, record.key)
        assert payload is not None
        return payload

    @property
    def announced(self) -> int:
        return self.payload.total_segments

    def assets(self) -> Sequence[Asset]:
        return (Asset(segment_asset_id(self.payload.segment_index)),)


class SegmentsCompleted(StageCompleted, AssetEvent):
    """Every segment is converted; the one asset of what follows is the whole video."""

    topic = "segments.completed"

    @property
    def announced(self) -> int:
        return 1

    def assets(self) -> Sequence[Asset]:
        return (Asset(FINAL_ASSET),)


class ReassemblyCompleted(StageCompleted):
    """The converted video is whole again."""

    topic = "reassembly.completed"


def segment_asset_id(segment_index: int) -> str:
    """Ids in the order of the segments, so that the store appends."""
    return f"{segment_index:05d}"


TOPICS = (StereoSubmitted, SegmentsPlanned, SegmentUploaded, SegmentsCompleted, ReassemblyCompleted)
