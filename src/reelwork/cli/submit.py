"""`reelwork submit`: a video to a running server."""

from __future__ import annotations

from typing import Annotated

import typer

from reelwork.cli import options

IdempotencyKey = Annotated[
    str | None,
    typer.Option("--idempotency-key", metavar="KEY", help="Submits with the same key are one job.", show_default=False),
]


def submit(
    file: options.Video,
    pipeline_id: options.PipelineId = options.DEFAULT_PIPELINE_ID,
    frame_stride: options.FrameStride = 1,
    max_frames: options.MaxFrames = None,
    idempotency_key: IdempotencyKey = None,
    url: options.ServerUrl = None,
    as_json: options.Json = False,
) -> None:
    """Send a video to a running server; prints the id of its job."""
    from reelwork.cli.client import server
    from reelwork.cli.output import progress_bar, tell, tell_json

    fields = {"pipeline_id": pipeline_id, "frame_stride": str(frame_stride)}
    if max_frames is not None:
        fields["max_frames"] = str(max_frames)
    with server(url) as client, progress_bar(f"sending {file.name}") as report:
        submitted = client.submit(
            file,
            fields,
            idempotency_key=idempotency_key,
            on_sent=lambda fraction: report(f"sending {file.name}", fraction),
        )
    if as_json:
        tell_json(submitted)
    else:
        tell(submitted["job_id"])
