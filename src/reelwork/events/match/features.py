"""Masks, embeddings and keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from reelwork.events.event import Asset, AssetEvent, Count, Event, IdentifiedEvent, StageAnnounces, StageCompleted
from reelwork.events.match.collection import Keyframe
from reelwork.events.match.names import FRAMES_PER_MESSAGE_MAX, Key, Name, joined


class ProductsImageMasked(AssetEvent):
    """It is known which part of a product image is the product."""

    topic = "products.image.masked"

    product_id: Name
    image_id: Name
    key: Key
    mask_key: Key

    def assets(self) -> Sequence[Asset]:
        return (Asset(joined(self.product_id, self.image_id)),)


class ProductsImagesMaskedBatch(StageAnnounces):
    """The masks of the product images are done; how many masked images there will be."""

    topic = "products.images.masked.batch"
    total_field = "total_images"

    total_images: Count

    @property
    def expected(self) -> int:
        return self.total_images


class MaskedKeyframe(Keyframe):
    """A frame, and which part of it is foreground."""

    mask_key: Key


class VideoKeyframesMasked(AssetEvent):
    """It is known which part of some frames is foreground."""

    topic = "video.keyframes.masked"

    video_id: Name
    frames: Annotated[tuple[MaskedKeyframe, ...], Field(max_length=FRAMES_PER_MESSAGE_MAX)]

    def assets(self) -> Sequence[Asset]:
        return tuple(Asset(joined(self.video_id, frame.frame_id)) for frame in self.frames)

    def frame(self, asset_id: str) -> MaskedKeyframe:
        return next(frame for frame in self.frames if joined(self.video_id, frame.frame_id) == asset_id)


class VideoKeyframesMaskedBatch(StageAnnounces):
    """The masks of the frames are done; how many masked frames there will be."""

    topic = "video.keyframes.masked.batch"
    total_field = "total_frames"

    total_frames: Count

    @property
    def expected(self) -> int:
        return self.total_frames


class FeatureReady(IdentifiedEvent):
    """One asset of a vision stage has its features."""

    asset_id: str


class ImageEmbeddingReady(FeatureReady):
    """An embedding of a product image is stored."""

    topic = "image.embedding.ready"


class VideoEmbeddingReady(FeatureReady):
    """An embedding of a frame is stored."""

    topic = "video.embedding.ready"


class ImageKeypointReady(FeatureReady):
    """The keypoints of a product image are stored."""

    topic = "image.keypoint.ready"


class VideoKeypointReady(FeatureReady):
    """The keypoints of a frame are stored."""

    topic = "video.keypoint.ready"


class ImageEmbeddingsCompleted(StageCompleted):
    """The product images of a job have their embeddings."""

    topic = "image.embeddings.completed"


class VideoEmbeddingsCompleted(StageCompleted):
    """The frames of a job have their embeddings."""

    topic = "video.embeddings.completed"


class ImageKeypointsCompleted(StageCompleted):
    """The product images of a job have their keypoints."""

    topic = "image.keypoints.completed"


class VideoKeypointsCompleted(StageCompleted):
    """The frames of a job have their keypoints."""

    topic = "video.keypoints.completed"


TOPICS: tuple[type[Event], ...] = (
    ProductsImageMasked,
    ProductsImagesMaskedBatch,
    VideoKeyframesMasked,
    VideoKeyframesMaskedBatch,
    ImageEmbeddingReady,
    VideoEmbeddingReady,
    ImageKeypointReady,
    VideoKeypointReady,
    ImageEmbeddingsCompleted,
    VideoEmbeddingsCompleted,
    ImageKeypointsCompleted,
    VideoKeypointsCompleted,
)
