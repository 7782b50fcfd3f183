"""The event catalogue: one class per topic, which is the contract of that topic. JSON Schema and AsyncAPI come from it.

The body of a message is the event as flat JSON, exactly its contract; its id, topic and trace travel in headers.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import getrandbits
from typing import Annotated, Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from reelwork.errors import ContractViolation

JOB_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
JobId = Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)]


def _number(value: object) -> object:
    """As the JSON Schema says it: `true` and `"3"` are no numbers."""
    if isinstance(value, bool | str):
        raise ValueError(f"a count is a number, not {value!r:.80}")
    return value


Count = Annotated[int, Field(ge=0), BeforeValidator(_number)]


@dataclass(frozen=True)
class Asset:
    """What one message asks of a stage: an id that is stable over retries, and how much of the work it stands for."""

    asset_id: str
    weight: int = 1


def stable_event_id(name: str) -> UUID:
    """The id of an event of which there can be only one: the same name gives the same id on every machine."""
    return uuid5(NAMESPACE_URL, f"reelwork:{name}")


def new_event_id() -> UUID:
    """The id of an event of which there may be many: a random one (version 4) that begins with the time.

    What happens together so lies together in an index; ids without any order make a store of events several times
    slower.
    """
    milliseconds = time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF
    return UUID(int=milliseconds << 80 | 0x4 << 76 | getrandbits(12) << 64 | 0b10 << 62 | getrandbits(62))


def completion_event_id(job_id: str, stage: str) -> UUID:
    """The id of the completion of a stage."""
    return stable_event_id(f"{job_id}/{stage}")


class Event(BaseModel):
    """A fact about a job, published on its class's topic."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    topic: ClassVar[str]

    job_id: JobId

    @property
    def identity(self) -> UUID:
        """The id that makes two deliveries of this event one."""
        return stable_event_id(f"{self.job_id}/{self.topic}")

    def body(self) -> str:
        return self.model_dump_json()


class IdentifiedEvent(Event):
    event_id: UUID

    @property
    def identity(self) -> UUID:
        return self.event_id


class Announcement(IdentifiedEvent):
    """Tells a stage how many assets it will get; zero is normal."""

    @property
    @abstractmethod
    def expected(self) -> int: ...


class AssetEvent(IdentifiedEvent):
    """Carries one or more assets of a stage."""

    @abstractmethod
    def assets(self) -> Sequence[Asset]: ...


class StageCompleted(IdentifiedEvent):
    """The completion payload: a frozen snapshot of a stage at the moment it completed."""

    total_assets: Count
    processed_assets: Count
    failed_assets: Count
    has_partial_completion: bool
    watermark_ttl: float | None = Field(description="Seconds; null where the stage has no watermark.")
    reason: str = Field(description="The rule that fired: all, settled, threshold or watermark.")


class VideoSubmitted(Event):
    """A video was accepted; its planner cuts it into ranges."""

    topic = "video.submitted"


class VideoRangesBatch(Announcement):
    """How many ranges a video was cut into."""

    topic = "video.ranges.batch"

    total_ranges: Count

    @property
    def expected(self) -> int:
        return self.total_ranges


class VideoRangeReady(AssetEvent):
    """One range of source frames, [start, end), waits for its analyzers."""

    topic = "video.range.ready"

    range_index: Count
    start: Count
    end: Count

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> VideoRangeReady:
        if self.end <= self.start:
            raise ValueError("end must be greater than start")
        return self

    @property
    def asset_id(self) -> str:
        return range_asset_id(self.range_index)

    def assets(self) -> Sequence[Asset]:
        return (Asset(self.asset_id, weight=self.end - self.start),)


class VideoRangesCompleted(StageCompleted):
    """Every range of a video has its outcome."""

    topic = "video.ranges.completed"


class JobCompleted(IdentifiedEvent):
    topic = "job.completed"


class JobFailed(IdentifiedEvent):
    topic = "job.failed"

    reason: str


class JobCancelled(IdentifiedEvent):
    topic = "job.cancelled"

    reason: str


def range_asset_id(range_index: int) -> str:
    """Ids in the order of the ranges, so that the store appends."""
    return f"{range_index:06d}"


def schema_name(event_type: type[Event]) -> str:
    """Topics are dotted, schema files underscored."""
    return event_type.topic.replace(".", "_")


CATALOGUE: tuple[type[Event], ...] = (
    VideoSubmitted,
    VideoRangesBatch,
    VideoRangeReady,
    VideoRangesCompleted,
    JobCompleted,
    JobFailed,
    JobCancelled,
)
VALIDATORS: dict[str, type[Event]] = {schema_name(event_type): event_type for event_type in CATALOGUE}


def parse_event(topic: str, body: str | bytes) -> Event:
    """The event of a message. Raises ContractViolation when the topic is unknown or the body does not fit."""
    event_type = VALIDATORS.get(topic.replace(".", "_"))
    if event_type is None:
        raise ContractViolation(f"no contract for topic {topic!r}")
    return validated(event_type, body)


def validated(event_type: type[Event], body: str | bytes) -> Event:
    """The event in a body. Raises ContractViolation when the body does not fit its contract."""
    try:
        return event_type.model_validate_json(body)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
        raise ContractViolation(f"{event_type.topic}: {problems}") from error


def json_schema(event_type: type[Event]) -> dict[str, Any]:
    """The contract of a topic as JSON Schema (draft 2020-12); every property is required."""
    schema = event_type.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schema_name(event_type), **schema}
