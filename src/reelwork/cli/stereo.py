"""`reelwork stereo`: a 2D video in, a 3D video out, with nothing else running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.cli.embedded_stereo import FinishedStereo

Mode = Annotated[
    Literal["sbs", "sbs-half", "anaglyph"],
    typer.Option("--mode", help="Side by side, at full or half width, or one picture for red and cyan glasses."),
]
Model = Annotated[str, typer.Option("--model", help="What makes the second view: shift, or stub for none.")]
SegmentSeconds = Annotated[
    float,
    typer.Option("--segment-seconds", metavar="S", min=0.1, max=3600, help="Segments last so long or longer."),
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", dir_okay=False, help="The 3D video, an MP4.")]


def stereo(
    file: options.Video,
    output: Output,
    mode: Mode = "sbs",
    model: Model = "shift",
    segment_seconds: SegmentSeconds = 10.0,
    workers: options.Workers = None,
    data: options.DataFolder = None,
    as_json: options.Json = False,
) -> None:
    """Make a 3D video of a 2D one here, without a server.

    It is cut at keyframes into segments, which the workers convert, and joined again with its sound. Ctrl-C cancels the
    job.
    """
    from reelwork.cli.configuration import default_workers
    from reelwork.cli.embedded import embedded_config
    from reelwork.cli.embedded_stereo import stereo_embedded
    from reelwork.cli.output import tell, tell_json
    from reelwork.cli.output_file import refuse_unwritable
    from reelwork.cli.phase_bars import phase_bars
    from reelwork.cli.stereo_view import stereo_view

    refuse_unwritable(output)
    parameters = {"mode": mode, "model": model, "segment_seconds": segment_seconds}
    with embedded_config(data) as config, phase_bars(lines_instead=not as_json) as show:
        finished = stereo_embedded(
            config, file, parameters, output=output, workers=workers or default_workers(), show=show
        )
    if as_json:
        tell_json({**_document(finished), "output": str(output)})
    else:
        tell(*stereo_view(finished))
        tell(f"Look at {output}.")


def _document(finished: FinishedStereo) -> dict[str, Any]:
    job = finished.detail.job
    known = {"job_id": job.job_id, "status": job.status, **finished.detail.details}
    return {**known, "completions": finished.completions, "segments": finished.segments, "result": finished.account}
