"""How commands speak: results on standard output, for a person or as one JSON document; all else on standard error."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

WIDTH_WHERE_NOBODY_WATCHES: Final = 120
PROGRESS_LINES: Final = 10

Report = Callable[[str, float | None], None]
"""Moves a progress bar: what goes on now, and the fraction of all that is done (None when there is no telling)."""


def tell(*parts: RenderableType) -> None:
    """For a person, on standard output."""
    console = _console(stderr=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str | Text))


def tell_json(document: Any) -> None:
    """For a program, on standard output."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    sys.stdout.flush()


def tell_json_line(document: Any) -> None:
    """For a program that goes on reading."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def tell_results(document: Mapping[str, Any], frames: Iterable[Any]) -> None:
    """A document whose last entry, `results`, may be long: one frame a line, and no more than one in memory."""
    separator = json.dumps(document).removesuffix("}") + ', "results": [\n'
    for frame in frames:
        sys.stdout.write(separator + json.dumps(frame))
        separator = ",\n"
    sys.stdout.write("\n]}\n")
    sys.stdout.flush()


def tell_aside(sentence: str) -> None:
    """What a person should know besides the results, on standard error."""
    _console(stderr=True).print(sentence, style="yellow", soft_wrap=True)


def tell_error(sentence: str, *, as_json: bool) -> None:
    """What went wrong, in one sentence."""
    if as_json:
        tell_json({"error": sentence})
    else:
        _console(stderr=True).print(f"reelwork: {sentence}", style="red", soft_wrap=True)


@contextlib.contextmanager
def progress_bar(description: str, *, lines_instead: bool = False) -> Iterator[Report]:
    """A bar on standard error while the block runs, gone afterwards; none where standard error is no terminal.

    lines_instead: a line now and then where there is no terminal.
    """
    console = _console(stderr=True)
    if lines_instead and not console.is_terminal:
        yield _progress_lines(description)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=None)

        def report(doing: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            progress.update(task, description=doing, total=total, completed=fraction or 0.0)

        yield report


def _progress_lines(description: str) -> Report:
    told = ""

    def report(doing: str, fraction: float | None) -> None:
        nonlocal told
        steps = int((fraction or 0.0) * PROGRESS_LINES)
        line = f"{description}: {doing}" + (f" {steps * 100 // PROGRESS_LINES}%" if steps else "")
        if line != told:
            told = line
            print(line, file=sys.stderr, flush=True)

    return report


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WHERE_NOBODY_WATCHES
    return Console(stderr=stderr, highlight=False, markup=False, width=width)
