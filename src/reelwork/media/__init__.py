"""The media room: what a video is, which frames it has, and any of them decoded exactly.

It knows files only: no job, no store, no analyzer.
"""

from reelwork.media.decode import VideoDecoder, decode_frames
from reelwork.media.frame import Frame
from reelwork.media.frame_index import FrameIndex
from reelwork.media.indexing import build_frame_index
from reelwork.media.probe import ProbedVideo, probe_video
from reelwork.media.ranges import select_frames, split_at_keyframes
from reelwork.media.sandbox import ProbeChild, probe_in_child
from reelwork.media.video_info import VideoInfo

__all__ = [
    "Frame",
    "FrameIndex",
    "ProbeChild",
    "ProbedVideo",
    "VideoDecoder",
    "VideoInfo",
    "build_frame_index",
    "decode_frames",
    "probe_in_child",
    "probe_video",
    "select_frames",
    "split_at_keyframes",
]
