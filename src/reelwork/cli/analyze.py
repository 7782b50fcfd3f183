"""`reelwork analyze`: a video in, its results out, with nothing else running."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reelwork.cli import options
from reelwork.errors import ConfigurationError

if TYPE_CHECKING:
    from reelwork.cli.embedded import FinishedJob

OutputFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", dir_okay=False, help="Write the results to this JSON file.")
]


def analyze(
    file: options.Video,
    pipeline_id: options.PipelineId = options.DEFAULT_PIPELINE_ID,
    frame_stride: options.FrameStride = 1,
    max_frames: options.MaxFrames = None,
    workers: options.Workers = None,
    output: OutputFile = None,
    data: options.DataFolder = None,
    as_json: options.Json = False,
) -> None:
    """Analyse a video here, without a server, and tell what is in it.

    Its results go to --output, else with --json to standard output. Ctrl-C cancels the job. Without --data nothing else
    is left behind.
    """
    from reelwork.cli.configuration import default_workers
    from reelwork.cli.embedded import embedded_config, run_embedded
    from reelwork.cli.output import progress_bar, tell, tell_json
    from reelwork.cli.summary import summarize
    from reelwork.cli.summary_view import summary_view

    _refuse_missing_folder(output)
    parameters = {"pipeline_id": pipeline_id, "frame_stride": frame_stride, "max_frames": max_frames}
    with tempfile.TemporaryDirectory(prefix="reelwork-") as scratch, embedded_config(data) as config:
        results = output or Path(scratch) / "results.json"
        with progress_bar(file.name) as report:
            finished = run_embedded(
                config, file, parameters, workers=workers or default_workers(), results=results, report=report
            )
        if as_json:
            tell_json(_document(finished, results, output))
        else:
            tell(*summary_view(file.name, summarize(results, finished.index), finished))
            if output is not None:
                tell(f"Results: {output}")


def _refuse_missing_folder(output: Path | None) -> None:
    """Before the work, not after it."""
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigurationError(f"cannot write {output}: there is no folder {output.absolute().parent}")


def _document(finished: FinishedJob, results: Path, output: Path | None) -> dict[str, Any]:
    job = finished.detail.job
    document = {"job_id": job.job_id, "status": job.status, **finished.detail.details}
    document["completions"] = finished.completions
    if output is not None:
        return {**document, "output": str(output)}
    return {**document, "results": json.loads(results.read_bytes())}
