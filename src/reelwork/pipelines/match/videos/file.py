"""Makes any video of a job one that can be read: where it is, or downloaded to this machine for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reelwork.media import MediaFile
from reelwork.objects import ObjectStore
from reelwork.objects.keys import job_of_input
from reelwork.pipelines.match.access import Access, PathRefused
from reelwork.pipelines.match.sources.upload import OBJECT_SCHEME
from reelwork.pipelines.match.videos.download import downloaded_video
from reelwork.pipelines.match.videos.listing import Video


@contextmanager
def video_file(video: Video, access: Access, objects: ObjectStore, *, uploads_prefix: str) -> Iterator[MediaFile]:
    """The video, for the length of the block.

    uploads_prefix: of the object keys that this job may name. The errors of `downloaded_video` and of `Access.path`.
    """
    if video.location.startswith(OBJECT_SCHEME):
        key = video.location.removeprefix(OBJECT_SCHEME)
        if not key.startswith(uploads_prefix) or job_of_input(key) is None:
            raise PathRefused(f"video {video.title!r} is no upload of this job")
        yield objects.readable(key)
    elif video.location.startswith(("http://", "https://")):
        with downloaded_video(video.location, access) as path:
            yield path
    else:
        path = access.path(video.location)
        if not path.is_file():
            raise PathRefused(f"{video.location!r} is not a file")  # a pipe would never end
        yield path
