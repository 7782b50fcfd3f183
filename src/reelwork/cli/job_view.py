"""A job, as the API tells it, for a person in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reelwork.cli.tables import plain_table

Document = Mapping[str, Any]
STYLES = {"completed": "bold green", "failed": "bold red", "cancelled": "bold yellow"}


def short_document(job: Document) -> dict[str, Any]:
    """What a script wants to know of a job; `error` and `missing_frames` are there when it has any."""
    document = {name: job[name] for name in ("job_id", "status", "progress")}
    told = {"error": job["error_message"], "missing_frames": job.get("details", {}).get("missing_frames")}
    return {**document, **{name: value for name, value in told.items() if value}}


def job_view(job: Document) -> Iterator[RenderableType]:
    """All of it, the most telling first."""
    yield headline(job)
    if job["error_message"]:
        yield Text(job["error_message"], style="red")
    for phase in job["phases"]:
        yield f"  {phase['name']}: {phase['state']}"
    yield from missing_views(job)
    if job["stages"]:
        yield stages_table(job["stages"])
    if job["dead_letters"]:
        yield dead_letters_table(job["dead_letters"])


def headline(job: Document) -> Text:
    return Text.assemble(
        (job["status"], STYLES.get(job["status"], "bold")), f"  {job['progress']:.0%}  ", (job["job_id"], "dim")
    )


def missing_views(job: Document) -> Iterator[Text]:
    """The frames that a completed job lacks, and why."""
    for missing in job.get("details", {}).get("missing_frames", ()):
        yield Text(missing_view(missing), style="yellow")


def missing_view(missing: Document) -> str:
    return f"missing: {missing['frames']} frames in [{missing['start']}, {missing['end']}): {missing['reason']}"


def stages_table(stages: Sequence[Document]) -> Table:
    table = plain_table("Stages", "stage", "expected", "done", "failed", "late", "completed at", "because of")
    for stage in stages:
        counts = (
            "?" if stage["expected"] is None else stage["expected"],
            stage["done"],
            stage["failed"],
            stage["late"],
        )
        table.add_row(stage["stage"], *map(str, counts), stage["completed_at"] or "-", stage["fired"] or "still open")
    return table


def dead_letters_table(letters: Sequence[Document]) -> Table:
    table = plain_table("Dead letters", "#", "job", "queue", "stage", "attempts", "replayed", "error")
    for letter in letters:
        cells = (letter["queue"], letter["stage"] or "-", str(letter["attempts"]), letter["replayed_at"] or "no")
        table.add_row(str(letter["dead_letter_id"]), letter["job_id"], *cells, letter["error"])
    return table


def dead_letter_view(letter: Document) -> Iterator[RenderableType]:
    """All of one, its error and its message whole."""
    yield f"dead letter {letter['dead_letter_id']} of job {letter['job_id']}"
    yield Text(letter["error"], style="red")
    yield f"  queue {letter['queue']}, stage {letter['stage'] or '-'}, topic {letter['topic']}"
    yield f"  event {letter['event_id']}"
    yield f"  failed {letter['created_at']} after {letter['attempts']} attempts"
    yield f"  replayed {letter['replayed_at'] or 'no'}"
    yield letter["body"]
