"""`reelwork analyze`: a video in, its results out, with nothing else running."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.cli.embedded import FinishedJob


def analyze(
    file: options.Video,
    pipeline_id: options.PipelineId = options.DEFAULT_PIPELINE_ID,
    frame_stride: options.FrameStride = 1,
    max_frames: options.MaxFrames = None,
    workers: options.Workers = None,
    output: options.OutputFile = None,
    data: options.DataFolder = None,
    as_json: options.Json = False,
) -> None:
    """Analyse a video here, without a server, and tell what is in it.

    Its results go to --output, else with --json to standard output. Ctrl-C cancels the job. Without --data nothing else
    is left behind.
    """
    from reelwork.cli.configuration import default_workers
    from reelwork.cli.embedded import embedded_config
    from reelwork.cli.embedded_video import analyze_embedded
    from reelwork.cli.output import progress_bar, tell
    from reelwork.cli.output_file import refuse_unwritable
    from reelwork.cli.summary import summarize
    from reelwork.cli.summary_view import summary_view

    refuse_unwritable(output)
    parameters = {"pipeline_id": pipeline_id, "frame_stride": frame_stride, "max_frames": max_frames}
    with tempfile.TemporaryDirectory(prefix="reelwork-") as scratch, embedded_config(data) as config:
        results = output or Path(scratch) / "results.json"
        with progress_bar(file.name) as report:
            finished = analyze_embedded(
                config, file, parameters, workers=workers or default_workers(), results=results, report=report
            )
        if as_json:
            _tell(_document(finished), results, output)
        else:
            tell(*summary_view(file.name, summarize(results, finished.index), finished))
            if output is not None:
                tell(f"Results: {output}")


def _document(finished: FinishedJob) -> dict[str, Any]:
    job = finished.detail.job
    known = {"job_id": job.job_id, "status": job.status, **finished.detail.details}
    return {**known, "completions": finished.completions}


def _tell(document: dict[str, Any], results: Path, output: Path | None) -> None:
    from reelwork.cli.output import tell_json, tell_results
    from reelwork.cli.summary import read_results

    if output is None:
        tell_results(document, read_results(results))
    else:
        tell_json({**document, "output": str(output)})
