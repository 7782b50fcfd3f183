"""What an event is: the kinds that every pipeline's topics are of, and the identities by which two copies are one.

The body of a message is the event as flat JSON, exactly its contract; its id, topic and trace travel in headers.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import getrandbits
from typing import Annotated, Any, ClassVar, Final, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

JOB_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
JobId = Annotated[str, StringConstraints(pattern=JOB_ID_PATTERN)]
THRESHOLD: Final = "threshold"
"""The reason of a stage that completed before all of its assets had an outcome, and goes on working on them."""


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
    """Carries one or more assets of a stage. is_told_by_bucket: where buckets notify queues, one tells of it too."""

    is_told_by_bucket: ClassVar[bool] = False

    @abstractmethod
    def assets(self) -> Sequence[Asset]: ...

    @property
    def announced(self) -> int | None:
        """How many assets the stage will get, where each message says so; None where an announcement does."""
        return None


class StageSnapshot(Protocol):
    """A stage at the moment it completed. processed_weight: the weights of its processed assets together."""

    @property
    def job_id(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def total_assets(self) -> int: ...
    @property
    def processed_assets(self) -> int: ...
    @property
    def failed_assets(self) -> int: ...
    @property
    def processed_weight(self) -> int: ...
    @property
    def reason(self) -> str: ...
    def payload(self) -> dict[str, Any]: ...


class StageEnd(IdentifiedEvent):
    """What a stage says once, when it completes."""

    @classmethod
    @abstractmethod
    def payload_of(cls, stage: StageSnapshot) -> Mapping[str, Any]:
        """The body, exactly the contract."""


class StageCompleted(StageEnd):
    """The completion payload: a frozen snapshot of a stage at the moment it completed."""

    total_assets: Count
    processed_assets: Count
    failed_assets: Count
    has_partial_completion: bool
    watermark_ttl: float | None = Field(description="Seconds; null where the stage has no watermark.")
    reason: str = Field(description="The rule that fired: all, settled, threshold or watermark.")

    @classmethod
    def payload_of(cls, stage: StageSnapshot) -> Mapping[str, Any]:
        return stage.payload()


class StageAnnounces(StageEnd, Announcement):
    """A completion that announces the stage behind it."""

    total_field: ClassVar[str]

    @classmethod
    def payload_of(cls, stage: StageSnapshot) -> Mapping[str, Any]:
        """How many assets will come out of the stage.

        One that completed at its threshold still works on the rest of its assets: thresholds do not compound. What had
        failed by then and succeeds later, in a replay, comes in addition and is not announced again.
        """
        to_come = stage.total_assets - stage.failed_assets
        total = to_come if stage.reason == THRESHOLD else stage.processed_assets
        return {"job_id": stage.job_id, "event_id": stage.event_id, cls.total_field: total}
