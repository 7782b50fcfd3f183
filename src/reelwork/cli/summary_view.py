"""The summary of a video as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reelwork.cli.embedded import FinishedJob
from reelwork.cli.summary import Summary
from reelwork.vision.contact_sheet import timecode

LABELS_SHOWN_MAX = 4


def summary_view(name: str, summary: Summary, finished: FinishedJob) -> Iterator[RenderableType]:
    """Everything of a finished job, the most telling first."""
    yield _headline(name, summary, finished)
    for missing in finished.detail.details["missing_frames"]:
        lost = f"missing: {missing['frames']} frames in [{missing['start']}, {missing['end']}): {missing['reason']}"
        yield Text(lost, style="yellow")
    if summary.shots:
        yield _shots_table(summary)
    if summary.objects:
        yield _objects_table(summary)
    if summary.measures:
        yield _measures_table(summary)


def _headline(name: str, summary: Summary, finished: FinishedJob) -> Text:
    video = finished.detail.job.parameters["input"]
    facts = [
        f"{video['width']} x {video['height']}",
        video["codec"],
        f"{timecode(video['duration_seconds'])}",
        f"{summary.frames} frames analysed",
    ]
    if summary.shots:
        facts.append(f"{len(summary.shots)} shots" if len(summary.shots) > 1 else "1 shot")
    return Text.assemble((name, "bold"), "  ", " · ".join(facts))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _shots_table(summary: Summary) -> Table:
    table = _table("Shots")
    table.add_column("#", justify="right", style="dim")
    table.add_column("from", style="cyan")
    table.add_column("to", style="cyan")
    table.add_column("frames", justify="right")
    if summary.objects:
        table.add_column("seen")
    for shot in summary.shots:
        labels = ", ".join(label for label, _ in shot.labels.most_common(LABELS_SHOWN_MAX))
        cells = [str(shot.number + 1), timecode(shot.start_seconds), timecode(shot.end_seconds)]
        table.add_row(*cells, f"{shot.start}-{shot.end}", *([labels or "-"] if summary.objects else []))
    return table


def _objects_table(summary: Summary) -> Table:
    table = _table("Objects")
    table.add_column("what", style="green")
    table.add_column("frames", justify="right")
    table.add_column("at once", justify="right")
    table.add_column("first at", style="cyan")
    table.add_column("surest", justify="right")
    for seen in sorted(summary.objects.values(), key=lambda seen: (-seen.frames, seen.label)):
        cells = (seen.label, str(seen.frames), str(seen.together_max), timecode(seen.first_seconds))
        table.add_row(*cells, f"{seen.score_max:.0%}")
    return table


def _measures_table(summary: Summary) -> Table:
    table = _table("Means over all frames")
    table.add_column("measure")
    table.add_column("mean", justify="right")
    for name, mean in summary.measures.items():
        table.add_row(name, f"{mean.value:.3f}")
    return table
