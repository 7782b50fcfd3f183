"""Finds the videos of a job, takes frames from each, and announces how many there really are before the first of them.

Frames lie by the content of their video: the same video in two jobs is decoded once.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any, Final

from reelwork.errors import ContractViolation, ObjectNotFound
from reelwork.events import (
    FRAMES_PER_MESSAGE_MAX,
    Keyframe,
    VideoFound,
    VideosCollectionsCompleted,
    VideosFoundBatch,
    VideosKeyframesReady,
    VideosKeyframesReadyBatch,
    VideosSearchRequest,
)
from reelwork.ledger import AssetState
from reelwork.media import MediaFile, open_bytes, probe_in_child
from reelwork.objects import ObjectStore
from reelwork.objects.keys import frame_key, inputs_prefix, keyframes_key
from reelwork.pipelines.match.collected import CollectedVideo, video_at
from reelwork.pipelines.match.notes import store_notes
from reelwork.pipelines.match.parameters import access_of
from reelwork.pipelines.match.sources import BrokenEntry
from reelwork.pipelines.match.stages import VIDEOS, every_outcome
from reelwork.pipelines.match.titles import called_apart
from reelwork.pipelines.match.videos import (
    SAMPLING_VERSION,
    Video,
    keyframes_of,
    list_videos,
    load_video_source,
    video_file,
)
from reelwork.runtime import Context, Service
from reelwork.vision.opencv import Picture, cv2

DAMAGE_KEPT_MAX: Final = 100
JPEG_QUALITY: Final = 92
FRAMES_VERSION: Final = f"{SAMPLING_VERSION}-jpeg{JPEG_QUALITY}"

video_crawler = Service("video-crawler")


@video_crawler.on(VideosSearchRequest, queue="q.video_crawler.search.request")
def handle_videos_search_request(event: VideosSearchRequest, context: Context) -> None:
    videos, broken = [], []
    for found in list_videos(map(load_video_source, event.sources), access_of(context.job)):
        context.raise_if_cancelled()
        if isinstance(found, BrokenEntry):
            broken.append(str(found))
        else:
            videos.append(found)
    store_notes(context.objects, event.job_id, "videos", broken)
    context.emit(VideosFoundBatch(job_id=event.job_id, event_id=context.new_id(), total_videos=len(videos)))
    for number, video in enumerate(called_apart(videos)):
        context.emit(
            VideoFound(
                job_id=event.job_id,
                event_id=context.new_id(),
                number=number,
                video_id=video.video_id,
                title=video.title,
                location=video.location,
            )
        )


@video_crawler.stage(
    VIDEOS, announced_by=VideosFoundBatch, completes_with=VideosCollectionsCompleted, policy=every_outcome()
)
@video_crawler.on(VideoFound, queue="q.video_crawler.videos")
def handle_video_found(event: VideoFound, context: Context) -> dict[str, Any]:
    video = Video(event.video_id, event.title, event.location)
    uploads = inputs_prefix(event.job_id)
    with video_file(video, access_of(context.job), context.objects, uploads_prefix=uploads) as media:
        with open_bytes(media) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        key = keyframes_key(sha256, FRAMES_VERSION)
        known = _known(key, context.objects)
        collected = known or _collected(media, sha256, context)
        if known is None:
            context.objects.put(key, collected.to_bytes())
    frames = len(collected.frames)
    context.weigh(frames)
    return {
        "key": key,
        "title": event.title,
        "frames": frames,
        "damage": len(collected.damage),
        "reused": known is not None,
    }


def _known(key: str, objects: ObjectStore) -> CollectedVideo | None:
    """What was collected of a video before; None where that is damaged, or not all of its frames are there."""
    try:
        video = CollectedVideo.from_bytes(objects.get(key))
    except (ObjectNotFound, ContractViolation):
        return None
    there = set(objects.keys(key.removesuffix(PurePosixPath(key).name)))
    return video if all(frame.key in there for frame in video.frames) else None


def _collected(media: MediaFile, sha256: str, context: Context) -> CollectedVideo:
    frames: list[Keyframe] = []
    damage: list[str] = []
    probed = probe_in_child(media)
    for frame in keyframes_of(media, index=probed.index, on_damage=lambda error: damage.append(str(error))):
        context.raise_if_cancelled()
        key = frame_key(sha256, FRAMES_VERSION, frame.frame_index)
        context.objects.put(key, _jpeg(frame.image))
        frames.append(Keyframe(frame_id=frame.frame_id, ts=frame.ts, key=key))
    kept = tuple(damage[:DAMAGE_KEPT_MAX])
    return CollectedVideo(seconds=probed.info.duration_seconds, frames=tuple(frames), damage=kept)


def _jpeg(picture: Picture) -> bytes:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)


@video_crawler.on(VideosCollectionsCompleted, queue="q.video_crawler.collections.completed")
def handle_videos_collections_completed(event: VideosCollectionsCompleted, context: Context) -> None:
    """Announces what there is, then sends it out."""
    collected = context.ledger.assets(event.job_id, VIDEOS, states=[AssetState.DONE], include_late=False)
    videos = [(asset.asset_id, video_at(context.objects, asset.result)) for asset in collected]
    total = sum(len(video.frames) for _, video in videos)
    context.emit(VideosKeyframesReadyBatch(job_id=event.job_id, event_id=context.new_id(), total_frames=total))
    for video_id, video in videos:
        for first in range(0, len(video.frames), FRAMES_PER_MESSAGE_MAX):
            context.emit(
                VideosKeyframesReady(
                    job_id=event.job_id,
                    event_id=context.new_id(),
                    video_id=video_id,
                    frames=video.frames[first : first + FRAMES_PER_MESSAGE_MAX],
                )
            )
