"""What was collected of a product and of a video, as it lies in the object store for the services behind."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from reelwork.errors import ContractViolation
from reelwork.events import Keyframe
from reelwork.objects import ObjectStore


class Collected(BaseModel):
    model_config = ConfigDict(frozen=True)

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises ContractViolation for anything else than `to_bytes` wrote."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ContractViolation(f"what was collected is damaged; collect it again ({error})") from error


class CollectedImage(Collected):
    """An image of a product; key: of its bytes as they came."""

    image_id: str
    key: str


class CollectedProduct(Collected):
    """refused: the images that are of no use, and why."""

    title: str
    images: tuple[CollectedImage, ...]
    refused: tuple[str, ...] = ()


class CollectedVideo(Collected):
    """The same for every job on the same video. seconds: how long it is. damage: what could not be decoded."""

    seconds: float
    frames: tuple[Keyframe, ...]
    damage: tuple[str, ...] = ()


def product_at(objects: ObjectStore, result: Any) -> CollectedProduct:
    """From the result of a product's asset."""
    return CollectedProduct.from_bytes(objects.get(result["key"]))


def video_at(objects: ObjectStore, result: Any) -> CollectedVideo:
    """From the result of a video's asset."""
    return CollectedVideo.from_bytes(objects.get(result["key"]))
