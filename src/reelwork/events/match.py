"""The topics of the match pipeline, in the order in which a job goes through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from reelwork.events.event import (
    Announcement,
    Asset,
    AssetEvent,
    Count,
    Event,
    IdentifiedEvent,
    StageAnnounces,
    StageCompleted,
    StageSnapshot,
)

FRAMES_PER_MESSAGE_MAX = 50

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^/\x00-\x1f]*$")]
"""Of a product, an image, a video or a frame: any text that can be joined with others by a slash."""
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


Source = dict[str, Any]
"""Where products or videos come from: a kind, and what that kind needs to be told."""


def joined(*names: str) -> str:
    """The id of an asset that belongs to another thing, such as an image of a product."""
    return "/".join(names)


class Part(BaseModel):
    """Something inside an event."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MatchSubmitted(Event):
    """Products and videos were given; they are to be collected."""

    topic = "match.submitted"


class ProductsCollectRequest(IdentifiedEvent):
    """Collect the products of these sources."""

    topic = "products.collect.request"

    sources: tuple[Source, ...]


class ProductsFoundBatch(Announcement):
    """How many products the sources have."""

    topic = "products.found.batch"

    total_products: Count

    @property
    def expected(self) -> int:
        return self.total_products


class ImageLocation(Part):
    """Where one image of a product lies: a path or a URL."""

    image_id: Name
    location: str


class ProductFound(AssetEvent):
    """A product of a source; its images are to be fetched. number: its place among the products of the job."""

    topic = "product.found"

    number: Count
    product_id: Name
    title: str
    images: tuple[ImageLocation, ...]

    def assets(self) -> Sequence[Asset]:
        return (Asset(self.product_id),)


class ProductsCollectionsCompleted(StageCompleted):
    """Every product has its images, or is known to have none."""

    topic = "products.collections.completed"


class ProductsImagesReadyBatch(Announcement):
    """How many product images the job has; goes out before the first of them."""

    topic = "products.images.ready.batch"

    total_images: Count

    @property
    def expected(self) -> int:
        return self.total_images


class ProductsImageReady(AssetEvent):
    """An image of a product lies in the object store."""

    topic = "products.image.ready"

    product_id: Name
    image_id: Name
    key: Key

    def assets(self) -> Sequence[Asset]:
        return (Asset(joined(self.product_id, self.image_id)),)


class VideosSearchRequest(IdentifiedEvent):
    """Collect the videos of these sources."""

    topic = "videos.search.request"

    sources: tuple[Source, ...]


class VideosFoundBatch(Announcement):
    """How many videos the sources have."""

    topic = "videos.found.batch"

    total_videos: Count

    @property
    def expected(self) -> int:
        return self.total_videos


class VideoFound(AssetEvent):
    """A video of a source; its frames are to be taken. number: its place among the videos of the job."""

    topic = "video.found"

    number: Count
    video_id: Name
    title: str
    location: str

    def assets(self) -> Sequence[Asset]:
        return (Asset(self.video_id),)


class VideosCollectionsCompleted(StageCompleted):
    """Every video has its frames, or is known to have none."""

    topic = "videos.collections.completed"


class VideosKeyframesReadyBatch(Announcement):
    """How many frames all videos of the job have together; goes out before the first of them."""

    topic = "videos.keyframes.ready.batch"

    total_frames: Count

    @property
    def expected(self) -> int:
        return self.total_frames


class Keyframe(Part):
    """A frame of a video in the object store. ts: seconds from its beginning."""

    frame_id: Name
    ts: Seconds
    key: Key


class VideosKeyframesReady(AssetEvent):
    """Some frames of a video lie in the object store."""

    topic = "videos.keyframes.ready"

    video_id: Name
    frames: Annotated[tuple[Keyframe, ...], Field(max_length=FRAMES_PER_MESSAGE_MAX)]

    def assets(self) -> Sequence[Asset]:
        return tuple(Asset(joined(self.video_id, frame.frame_id)) for frame in self.frames)

    def frame(self, asset_id: str) -> Keyframe:
        return next(frame for frame in self.frames if joined(self.video_id, frame.frame_id) == asset_id)


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


class MatchRequest(IdentifiedEvent):
    """All features are there; find the products in the videos."""

    topic = "match.request"


class MatchVideosBatch(Announcement):
    """How many videos are searched."""

    topic = "match.videos.batch"

    total_videos: Count

    @property
    def expected(self) -> int:
        return self.total_videos


class MatchVideo(AssetEvent):
    """Find all products in this video. number: its place among the videos of the job."""

    topic = "match.video"

    number: Count
    video_id: Name

    def assets(self) -> Sequence[Asset]:
        return (Asset(self.video_id),)


class BestPair(Part):
    """The product image and the frame that show a match best."""

    image_id: Name
    frame_id: Name


class MatchResult(AssetEvent):
    """A product appears in a video. score: 0..1. ts: of the best frame, in seconds."""

    topic = "match.result"

    product_id: Name
    video_id: Name
    best_pair: BestPair
    score: Annotated[float, Field(ge=0, le=1)]
    ts: Seconds

    def assets(self) -> Sequence[Asset]:
        return (Asset(joined(self.video_id, self.product_id)),)


class MatchRequestCompleted(StageCompleted, Announcement):
    """Every video was searched; so many matches were found, and each gets its evidence."""

    topic = "match.request.completed"

    total_matches: Count

    @property
    def expected(self) -> int:
        return self.total_matches

    @classmethod
    def payload_of(cls, stage: StageSnapshot) -> Mapping[str, Any]:
        """The weight of a video is the number of its matches."""
        return {**super().payload_of(stage), "total_matches": stage.processed_weight}


class EvidencesGenerationCompleted(StageCompleted):
    """Every match has its picture."""

    topic = "evidences.generation.completed"


TOPICS: tuple[type[Event], ...] = (
    MatchSubmitted,
    ProductsCollectRequest,
    ProductsFoundBatch,
    ProductFound,
    ProductsCollectionsCompleted,
    ProductsImagesReadyBatch,
    ProductsImageReady,
    VideosSearchRequest,
    VideosFoundBatch,
    VideoFound,
    VideosCollectionsCompleted,
    VideosKeyframesReadyBatch,
    VideosKeyframesReady,
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
    MatchRequest,
    MatchVideosBatch,
    MatchVideo,
    MatchResult,
    MatchRequestCompleted,
    EvidencesGenerationCompleted,
)
