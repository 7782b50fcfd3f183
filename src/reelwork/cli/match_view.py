"""The matches of a job as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from reelwork.cli.embedded_match import FinishedMatch
from reelwork.cli.tables import plain_table
from reelwork.vision.contact_sheet import timecode

MATCHES_SHOWN_MAX: Final = 50


def match_view(finished: FinishedMatch) -> Iterator[RenderableType]:
    """Everything of a finished job, the surest matches first."""
    details = finished.detail.details
    counts = ", ".join(f"{details[name]} {name}" for name in ("products", "images", "videos", "frames"))
    found = len(finished.results)
    yield Text.assemble((f"{found} matches" if found != 1 else "1 match", "bold"), f"  {counts}")
    for note in finished.notes:
        yield Text(note, style="yellow")
    if not finished.results:
        return
    table = plain_table("Matches", "product", "video", "score", "best at", "seen")
    for result in finished.results[:MATCHES_SHOWN_MAX]:
        seen = ", ".join(f"{timecode(start)}-{timecode(end)}" for start, end in result["spans"])
        names = Text(result["product"]), Text(result["video"])  # a bracket in them is no markup
        table.add_row(*names, f"{result['score']:.2f}", timecode(result["ts"]), seen)
    yield table
