"""Analyses a file in one process, with the very code that a job runs; a job's results are defined by these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reelwork.media import VideoDecoder, probe_video, select_frames
from reelwork.pipelines.analyze.analyzers import load_analyzers
from reelwork.pipelines.analyze.ranges import analyze_range, merge_ranges


class VideoFilePipelineService:
    """The seed's name for it; it holds no state."""

    def run_on_file(
        self, mp4_path: str | Path, pipeline_id: str, frame_stride: int = 1, max_frames: int | None = None
    ) -> list[dict[str, Any]]:
        """`[{"frame_index", "result"}]` for every `frame_stride`-th frame, `max_frames` of them at most; plain JSON.

        UnknownAnalyzer, ModelMissing, UnreadableMedia, UndecodableFrames; ValueError for a number below 1."""
        path = Path(mp4_path)
        analyzers = load_analyzers(pipeline_id)
        select_frames(0, frame_stride=frame_stride, max_frames=max_frames)  # refuse bad numbers before reading a file
        index = probe_video(path).index
        wanted = select_frames(len(index), frame_stride=frame_stride, max_frames=max_frames)
        with VideoDecoder(path, index) as video:
            return list(merge_ranges([analyze_range(video, wanted, analyzers)], analyzers))
