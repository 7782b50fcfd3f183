"""The stages of a job, as the API tells them, for a person: counters first, then what needs looking at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reelwork.cli.tables import plain_table

FAILED_ASSETS_SHOWN_MAX: Final = 10
Document = Mapping[str, Any]


def stages_view(standing: Document) -> Iterator[RenderableType]:
    yield _table(standing)
    for stage in standing["stages"]:
        yield from _reasons(stage["stage"], stage["reasons"])
        yield from _failed_assets(stage)
    yield from _reasons("job", standing["reasons"])
    for conflict in standing["conflicts"]:
        had = "none" if conflict["expected"] is None else conflict["expected"]
        words = f"announced {conflict['announced']} at {conflict['recorded_at']}, without effect: {had} were announced"
        yield Text(f"{conflict['stage']}: {words}", style="yellow")


def _table(standing: Document) -> Table:
    columns = ("stage", "expected", "done", "failed", "late", "weight", "watermark", "completed at", "because of")
    table = plain_table(f"Stages of job {standing['job_id']} ({standing['status']})", *columns)
    for stage in standing["stages"]:
        expected = "?" if stage["expected"] is None else stage["expected"]
        counts = (expected, stage["done"], stage["failed"], stage["late"], stage["weight"])
        because = stage["fired"] or ", ".join(reason["cause"] for reason in stage["reasons"]) or "still open"
        table.add_row(
            stage["stage"], *map(str, counts), stage["watermark"] or "-", stage["completed_at"] or "-", because
        )
    return table


def _reasons(subject: str, reasons: list[Document]) -> Iterator[Text]:
    for reason in reasons:
        stuck = "stuck: " if reason["is_stuck"] else ""
        yield Text(f"{subject}: {stuck}{reason['found']}", style="red" if reason["is_stuck"] else "")
        if reason["fix"]:
            yield Text(f"  -> {reason['fix']}")


def _failed_assets(stage: Document) -> Iterator[Text]:
    failed = stage["failed_assets"]
    for asset in failed[:FAILED_ASSETS_SHOWN_MAX]:
        late = " (late)" if asset["late"] else ""
        yield Text(f"{stage['stage']}: {asset['asset_id']} failed{late}: {asset['error'] or 'nobody said why'}")
    if stage["failed"] > FAILED_ASSETS_SHOWN_MAX:
        more = stage["failed"] - FAILED_ASSETS_SHOWN_MAX
        yield Text(f"{stage['stage']}: {more} more failed; --json tells the first hundred")
