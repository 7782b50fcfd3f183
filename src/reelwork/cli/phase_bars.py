"""How far each phase of a job is: a bar for each on a terminal, a line now and then where nobody watches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

LINES_PER_PHASE: Final = 4

Show = Callable[[Mapping[str, float]], None]
"""Takes the fraction of each phase that is done, in the order of the phases."""


@contextlib.contextmanager
def phase_bars(*, lines_instead: bool = True) -> Iterator[Show]:
    """On standard error while the block runs; bars are gone afterwards. lines_instead: where there is no terminal."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield _lines() if lines_instead else _nothing
        return
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, int] = {}

        def show(fractions: Mapping[str, float]) -> None:
            for name, fraction in fractions.items():
                if name not in tasks:
                    tasks[name] = progress.add_task(spoken(name), total=1.0, start=False)
                task = tasks[name]
                if _is_at(name, fractions) or fraction:
                    progress.start_task(task)  # type: ignore[arg-type]
                progress.update(task, completed=fraction)  # type: ignore[arg-type]

        yield show


def spoken(phase: str) -> str:
    return phase.replace("_", " ")


def _is_at(name: str, fractions: Mapping[str, float]) -> bool:
    """Whether every phase before this one is done."""
    for other, fraction in fractions.items():
        if other == name:
            return True
        if fraction < 1:
            return False
    return False


def _nothing(_fractions: Mapping[str, float]) -> None: ...


def _lines() -> Show:
    told: set[str] = set()

    def show(fractions: Mapping[str, float]) -> None:
        for name, fraction in fractions.items():
            steps = int(fraction * LINES_PER_PHASE)
            line = f"{spoken(name)} {steps * 100 // LINES_PER_PHASE}%"
            if steps and line not in told:
                told.add(line)
                print(line, file=sys.stderr, flush=True)

    return show
