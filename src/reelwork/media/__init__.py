"""The media room: what a video is, which frames it has, and any of them decoded exactly.

It knows files, and bytes that are lent to it: no job, no store, no analyzer.
"""

from reelwork.media.byte_source import ByteSource, MediaFile, open_bytes
from reelwork.media.converting import convert_frames, count_frames, frames_of
from reelwork.media.cutting import CutPlan, Segment, cut_segments, plan_cuts
from reelwork.media.decode import VideoDecoder, decode_frames, sampled_pictures
from reelwork.media.frame import Frame
from reelwork.media.frame_index import FrameIndex
from reelwork.media.indexing import build_frame_index
from reelwork.media.joining import JoinedVideo, check_sound, join_segments
from reelwork.media.placing import place_segments
from reelwork.media.probe import ProbedVideo, probe_video
from reelwork.media.ranges import select_frames, split_at_keyframes
from reelwork.media.sandbox import ProbeChild, probe_in_child
from reelwork.media.video_info import VideoInfo

__all__ = [
    "ByteSource",
    "CutPlan",
    "Frame",
    "FrameIndex",
    "JoinedVideo",
    "MediaFile",
    "ProbeChild",
    "ProbedVideo",
    "Segment",
    "VideoDecoder",
    "VideoInfo",
    "build_frame_index",
    "check_sound",
    "convert_frames",
    "count_frames",
    "cut_segments",
    "decode_frames",
    "frames_of",
    "join_segments",
    "open_bytes",
    "place_segments",
    "plan_cuts",
    "probe_in_child",
    "probe_video",
    "sampled_pictures",
    "select_frames",
    "split_at_keyframes",
]
