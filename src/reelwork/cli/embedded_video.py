"""Analyses one video to its end in this process and its workers, without a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reelwork.cli.embedded import FinishedJob, run_embedded, save_object, submit_video
from reelwork.cli.output import Report
from reelwork.ledger import Job
from reelwork.media import FrameIndex
from reelwork.objects.keys import frame_index_key
from reelwork.runtime.backends import Backends
from reelwork.runtime.jobs import Jobs
from reelwork.settings import Config

PIPELINE: Final = "analyze"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzedVideo(FinishedJob):
    """index: of the video's frames."""

    index: FrameIndex


def analyze_embedded(
    config: Config, video: Path, parameters: dict[str, Any], *, workers: int, results: Path, report: Report
) -> AnalyzedVideo:
    """Leaves the results of a video in a file. Raises what `run_embedded` does, and what refuses a video."""
    indices: list[FrameIndex] = []

    async def submit(backends: Backends, jobs: Jobs) -> str:
        report("reading the video", None)
        return await submit_video(backends, jobs, PIPELINE, video, parameters)

    def watch(jobs: Jobs, job: Job) -> None:
        report("planning" if job.phase is None else f"working: {job.phase}", jobs.progress(job) or None)

    def save(backends: Backends, job: Job) -> None:
        assert job.output_path is not None
        save_object(backends.objects, job.output_path, results)
        stored = backends.objects.get(frame_index_key(job.parameters["input"]["sha256"]))
        indices.append(FrameIndex.from_bytes(stored))

    finished = run_embedded(config, submit, workers=workers, watch=watch, save=save)
    return AnalyzedVideo(detail=finished.detail, completions=finished.completions, index=indices[0])
