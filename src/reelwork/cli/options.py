"""Options that several commands share, each spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, errors too.")]

DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", file_okay=False, help="Folder of the embedded database and objects."),
]

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Worker processes; as many as CPUs by default.")
]

ServerWorkers = Annotated[
    int | None,
    typer.Option("--workers", min=0, metavar="N", help="Worker processes; as many as CPUs by default, 0 for none."),
]

Video = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="A video.")]

PipelineId = Annotated[str, typer.Option("--pipeline-id", help="Names of analyzers joined by +.")]

FrameStride = Annotated[int, typer.Option("--frame-stride", min=1, help="Every n-th frame of the video.")]

MaxFrames = Annotated[int | None, typer.Option("--max-frames", min=1, help="At most so many processed frames.")]

OutputFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", dir_okay=False, help="Write the results to this JSON file.")
]

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, as submit printed it.")]

ServerUrl = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The server; default: REELWORK_API_URL.", show_default=False)
]

DEFAULT_PIPELINE_ID = "shots+quality"
