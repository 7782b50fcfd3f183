"""The report of the benchmark as tables: on a terminal, and as Markdown for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from measuring import Spread, where_in_words
from rich.console import Console
from rich.table import Table

GOAL_P99_MS = 20
NOTHING = "-"


@dataclass(frozen=True)
class Sheet:
    """The first column is text, the others are figures."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def print_tables(report: dict[str, Any], console: Console) -> None:
    console.print(where_in_words(report["where"]), highlight=False)
    for sheet in sheets(report):
        table = Table(title=sheet.title, title_justify="left")
        for number, heading in enumerate(sheet.headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)


def print_markdown(report: dict[str, Any]) -> None:
    print(where_in_words(report["where"]), end="\n\n")
    for sheet in sheets(report):
        print(f"**{sheet.title}**\n")
        print("| " + " | ".join(sheet.headings) + " |")
        print("|---|" + "---:|" * (len(sheet.headings) - 1))
        for row in sheet.rows:
            print("| " + " | ".join(row) + " |")
        print()


def sheets(report: dict[str, Any]) -> Iterator[Sheet]:
    for units in dict.fromkeys(row["units"] for row in report["rates"]):
        yield _rates(units, [row for row in report["rates"] if row["units"] == units])
    yield _delays(report)
    yield _twice(report["twice"])


def _rates(units: int, rows: list[dict[str, Any]]) -> Sheet:
    count = rows[0]["units_per_second"]["count"]
    spread = f"median (lowest to highest) of {count} rounds" if count > 1 else "measured once"
    return Sheet(
        title=f"{units:,} units: units a second, {spread}",
        headings=("", "units/s", "published/s", "against the best other", "goal"),
        rows=tuple(_rate(row) for row in rows),
    )


def _rate(row: dict[str, Any]) -> tuple[str, ...]:
    ratio = Spread(**row["ratio_to_best_other"]) if row["ratio_to_best_other"] else None
    goal = row["goal"]
    return (
        row["label"],
        _text(row["units_per_second"], ",.0f"),
        f"{row['published_per_second']['median']:,.0f}",
        _text(row["ratio_to_best_other"], ".1f") if ratio else NOTHING,
        f"{goal:g}: {_verdict(ratio.median >= goal)}" if goal and ratio else NOTHING,
    )


def _delays(report: dict[str, Any]) -> Sheet:
    return Sheet(
        title=f"From the last of {report['small_units']} units to the completion, ms",
        headings=("", "idle p50", "idle p99", "runs", "loaded p50", "loaded p99", "runs", f"goal p99 {GOAL_P99_MS}"),
        rows=tuple(
            (row["label"], *_percentiles(row["idle_ms"]), *_percentiles(row["loaded_ms"]), _delay_verdict(row))
            for row in report["delays"]
        ),
    )


def _percentiles(found: dict[str, float]) -> tuple[str, str, str]:
    p50, p99 = (f"{found[name]:,.1f}" if name in found else NOTHING for name in ("p50", "p99"))
    return p50, p99, f"{found['count']:.0f}"


def _delay_verdict(row: dict[str, Any]) -> str:
    if not row["is_ours"] or "p99" not in row["loaded_ms"]:
        return NOTHING
    return _verdict(max(row["idle_ms"]["p99"], row["loaded_ms"]["p99"]) < GOAL_P99_MS)


def _twice(rows: list[dict[str, Any]]) -> Sheet:
    return Sheet(
        title="One unit delivered twice, and once more after the completion",
        headings=("", "completions", "the first came", "it counted", "after the repeat"),
        rows=tuple(
            (
                row["label"],
                str(len(row["arrivals"])),
                f"{row['early_seconds']:.2f} s early" if row["early_seconds"] else "after the last unit",
                _counted(row["arrivals"][0]["counted"], row["units"]),
                f"{row['later']} more",
            )
            for row in rows
        ),
    )


def _counted(counted: int | None, units: int) -> str:
    return "says nothing" if counted is None else f"{counted} of {units}"


def _text(spread: dict[str, Any], form: str) -> str:
    figure = Spread(**spread)
    return figure.text(form) if figure.count > 1 else f"{figure.median:{form}}"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"
