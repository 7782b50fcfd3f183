"""Makes a 3D video to the end in this process and its workers, without a server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reelwork.cli.embedded import FinishedJob, run_embedded, save_object, submit_video
from reelwork.cli.phase_bars import Show
from reelwork.ledger import Job
from reelwork.objects.keys import final_key
from reelwork.runtime.backends import Backends
from reelwork.runtime.jobs import Jobs
from reelwork.settings import Config

PIPELINE: Final = "stereo"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedStereo(FinishedJob):
    """account: what was made, as the job's results tell it. segments: how many the video was cut into."""

    account: dict[str, Any]
    segments: int


def stereo_embedded(
    config: Config, video: Path, parameters: dict[str, Any], *, output: Path, workers: int, show: Show
) -> FinishedStereo:
    """Leaves the converted video in a file. Raises what `run_embedded` does, and what refuses a video."""
    accounts: list[dict[str, Any]] = []

    async def submit(backends: Backends, jobs: Jobs) -> str:
        return await submit_video(backends, jobs, PIPELINE, video, parameters)

    def watch(jobs: Jobs, job: Job) -> None:
        show(jobs.phase_fractions(job))

    def save(backends: Backends, job: Job) -> None:
        assert job.output_path is not None
        (account,) = json.loads(backends.objects.get(job.output_path))
        accounts.append(account)
        save_object(backends.objects, final_key(job.job_id), output)

    finished = run_embedded(config, submit, workers=workers, watch=watch, save=save)
    segments = {stage.status.stage: stage.status.done for stage in finished.detail.stages}["segments"]
    return FinishedStereo(
        detail=finished.detail, completions=finished.completions, account=accounts[0], segments=segments
    )
