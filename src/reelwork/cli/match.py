"""`reelwork match`: product pictures and videos in; which product appears in which video, and the evidence, out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.cli.embedded_match import FinishedMatch

Products = Annotated[
    list[str],
    typer.Option(
        "--products",
        metavar="DIR",
        help="Folder of pictures, one sub-folder or file-name prefix a product; or a catalogue (CSV, JSON lines). "
        "May be given more than once.",
    ),
]
Videos = Annotated[
    list[str],
    typer.Option(
        "--videos", metavar="DIR", help="Folder of videos, a video, or an address. May be given more than once."
    ),
]
OutputFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Folder for matches.json and report.html.")
]
Masks = Annotated[
    Literal["off", "products", "all"] | None,
    typer.Option(
        "--masks", help="What is cut out of its background; default: REELWORK_MATCH_MASKS.", show_default=False
    ),
]


def match(
    products: Products,
    videos: Videos,
    out: OutputFolder = Path("match-output"),
    masks: Masks = None,
    workers: options.Workers = None,
    data: options.DataFolder = None,
    as_json: options.Json = False,
) -> None:
    """Find products in videos here, without a server, with a picture of every match.

    Writes matches.json, report.html and the pictures. With --data a second run looks only at what is new. Ctrl-C
    cancels the job.
    """
    from reelwork.cli.configuration import default_workers
    from reelwork.cli.embedded import embedded_config
    from reelwork.cli.embedded_match import match_embedded
    from reelwork.cli.match_view import match_view
    from reelwork.cli.output import tell, tell_json
    from reelwork.cli.output_file import make_folder
    from reelwork.cli.phase_bars import phase_bars

    make_folder(out, option="--out")
    with embedded_config(data) as config, phase_bars(lines_instead=not as_json) as show:
        finished = match_embedded(
            config, products, videos, masks=masks, out=out, workers=workers or default_workers(), show=show
        )
    if as_json:
        tell_json({**_document(finished), "output": str(out)})
    else:
        tell(*match_view(finished))
        tell(f"Look at {out / 'report.html'}; all matches are in {out / 'matches.json'}.")


def _document(finished: FinishedMatch) -> dict[str, Any]:
    job = finished.detail.job
    known = {"job_id": job.job_id, "status": job.status, **finished.detail.details}
    return {**known, "completions": finished.completions, "results": finished.results, "notes": finished.notes}
