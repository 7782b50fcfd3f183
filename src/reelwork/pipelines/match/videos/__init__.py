"""Videos of a job: where they come from, and the frames of them that are looked at."""

from reelwork.pipelines.match.videos.download import downloaded_video
from reelwork.pipelines.match.videos.file import video_file
from reelwork.pipelines.match.videos.keyframes import (
    KEYFRAMES_PER_MINUTE_MAX,
    SAMPLING_VERSION,
    Keyframe,
    NoKeyframes,
    keyframes_of,
)
from reelwork.pipelines.match.videos.listing import (
    TITLE_CHARACTERS_MAX,
    Video,
    check_video_source,
    list_videos,
    load_video_source,
)

__all__ = [
    "KEYFRAMES_PER_MINUTE_MAX",
    "SAMPLING_VERSION",
    "TITLE_CHARACTERS_MAX",
    "Keyframe",
    "NoKeyframes",
    "Video",
    "check_video_source",
    "downloaded_video",
    "keyframes_of",
    "list_videos",
    "load_video_source",
    "video_file",
]
