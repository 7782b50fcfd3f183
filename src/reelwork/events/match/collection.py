"""From the submission to the images and frames that were collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from reelwork.events.event import Announcement, Asset, AssetEvent, Count, Event, IdentifiedEvent, StageCompleted
from reelwork.events.match.names import FRAMES_PER_MESSAGE_MAX, Key, Name, Part, Seconds, Source, joined


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
)
