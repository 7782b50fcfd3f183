"""The summary of a video as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reelwork.cli.embedded import FinishedJob
from reelwork.cli.embedded_video import AnalyzedVideo
from reelwork.cli.job_view import missing_view
from reelwork.cli.summary import Summary
from reelwork.cli.tables import plain_table
from reelwork.vision.contact_sheet import timecode

LABELS_SHOWN_MAX = 4
OBJECTS_SHOWN_MAX = 10


def summary_view(name: str, summary: Summary, finished: AnalyzedVideo) -> Iterator[RenderableType]:
    """Everything of a finished job, the most telling first."""
    yield _headline(name, summary, finished)
    for missing in finished.detail.details["missing_frames"]:
        yield Text(missing_view(missing), style="yellow")
    yield ""
    if summary.shots:
        yield _shots_table(summary)
    if summary.objects:
        yield _objects_table(summary)
    if summary.measures:
        yield _measures_table(summary)


def completions_view(finished: FinishedJob) -> Iterator[RenderableType]:
    """What the job is about: each stage was done once, and said so once; how many more came after it had said so."""
    for stage in finished.detail.stages:
        fired = stage.status.completion
        if fired is not None:
            count = finished.completions[fired.stage]
            told = f"{fired.topic}: {fired.processed_assets} of {fired.total_assets} done, told {_times(count)}"
            late = f", {stage.status.done} in the end" if stage.status.done > fired.processed_assets else ""
            yield Text.assemble(
                (told + late, "bold green" if count == 1 else "bold red"), (f"  {fired.event_id}", "dim")
            )


def _times(count: int) -> str:
    return "exactly once" if count == 1 else f"{count} times"


def _headline(name: str, summary: Summary, finished: AnalyzedVideo) -> Text:
    video = finished.detail.job.parameters["input"]
    facts = [
        f"{video['width']} x {video['height']}",
        video["codec"],
        timecode(video["duration_seconds"]),
        f"{summary.frames} frames analysed",
    ]
    if summary.shots:
        facts.append(f"{len(summary.shots)} shots" if len(summary.shots) > 1 else "1 shot")
    return Text.assemble((name, "bold"), "  ", " · ".join(facts))


def _shots_table(summary: Summary) -> Table:
    table = plain_table("Shots", "#", "from", "to", "frames", *(["seen in it"] if summary.objects else []))
    for shot in summary.shots:
        labels = ", ".join(label for label, _ in shot.labels.most_common(LABELS_SHOWN_MAX))
        cells = [str(shot.number + 1), timecode(shot.start_seconds), timecode(shot.end_seconds)]
        table.add_row(*cells, f"{shot.start}-{shot.end}", *([labels or "-"] if summary.objects else []))
    return table


def _objects_table(summary: Summary) -> Table:
    table = plain_table("Objects", "what", "frames", "at once", "first at", "surest")
    by_frames = sorted(summary.objects.values(), key=lambda seen: (-seen.frames, seen.label))
    for seen in by_frames[:OBJECTS_SHOWN_MAX]:
        cells = (seen.label, str(seen.frames), str(seen.together_max), timecode(seen.first_seconds))
        table.add_row(*cells, f"{seen.score_max:.0%}")
    rarer = by_frames[OBJECTS_SHOWN_MAX:]
    if rarer:
        table.caption = f"and more rarely: {', '.join(seen.label for seen in rarer)}"
    return table


def _measures_table(summary: Summary) -> Table:
    table = plain_table("Means over all frames", "measure", "mean")
    for name, mean in summary.measures.items():
        table.add_row(name, f"{mean.value:.3f}")
    return table
