"""How fast work that fans out comes together again: Reelwork beside Celery, Dramatiq and Huey, in one run.

    python benchmarks/fan_in.py [--only NAMES | --servers] [--units N[,N]] [--rounds N] [--quick] [--data DIR]
        [--json | --markdown]

Each publishes no-op units, works on them in two processes and tells a consumer once all are done. Time counts from the
first message published to the arrival of the completion.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from contenders.board import open_board
from contenders.measure import (
    SMALL_UNITS,
    Entrant,
    FanOut,
    deliver_twice,
    fan_out,
    idle_delays,
    loaded_delays,
    warm_up,
)
from contenders.system import OTHERS, Running, System, others, reelwork, running
from contenders.tables import print_markdown, print_tables
from measuring import CACHE, PAIRS_MIN, Spread, scratch_folder, where
from rich.console import Console

UNITS_MAX = 200_000
GROUP = 50
LOADED_SMALL = 20
BACKLOG_MAX = 2  # times the seconds of publishing
BY_DEFAULT = ("reelwork", "celery", "dramatiq", "huey")
ON_SERVERS = ("reelwork-redis", "reelwork-rabbitmq", "celery-rabbitmq", "dramatiq-rabbitmq")
SAY = Console(stderr=True)


@dataclass(frozen=True)
class Plan:
    """units: of the runs that are measured by turns, `rounds` times. units_once: of those that are measured once.

    small: how many small runs give the idle delays. loads: how many big runs have LOADED_SMALL small ones beside them;
    load_seconds: how long such a one is published for.
    """

    units: int
    rounds: int
    units_once: tuple[int, ...]
    small: int
    loads: int
    load_seconds: float


FULL = Plan(units=10_000, rounds=PAIRS_MIN, units_once=(100_000,), small=200, loads=5, load_seconds=3)
QUICK = Plan(units=2_000, rounds=2, units_once=(), small=20, loads=1, load_seconds=1)


def systems(names: Sequence[str]) -> list[System]:
    """Raises SystemExit for a name that nobody has, or for one that is not installed."""
    known = {system.name: system for system in (*reelwork(), *others())}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"no contender is called {', '.join(unknown)}; there are: {', '.join(known)}")
    chosen = [known[name] for name in names]
    if not all(system.is_ours for system in chosen) and not OTHERS.is_dir():
        raise SystemExit("the others are not installed: `make bench` does it; or measure `--only reelwork`")
    return chosen


def entrants_of(contender: Running) -> list[Entrant]:
    """The ways in which a contender is measured."""
    label = contender.system.label
    if not contender.system.is_ours:
        return [Entrant(label=label, contender=contender)]
    return [
        Entrant(label=f"{label}, {kind}{batch}", contender=contender, kind=kind, group=group)
        for group, batch in ((1, ""), (GROUP, f", {GROUP} a message"))
        for kind in ("coroutine", "thread")
    ]


def by_turns(entrants: Sequence[Entrant], units: int, rounds: int) -> dict[str, list[FanOut]]:
    """Measures each once a round, every other round in the other order."""
    runs: dict[str, list[FanOut]] = {entrant.label: [] for entrant in entrants}
    for number in range(rounds):
        for entrant in entrants if number % 2 == 0 else entrants[::-1]:
            SAY.print(f"{units:,} units, round {number + 1} of {rounds}: {entrant.label}")
            runs[entrant.label].append(fan_out(entrant, units))
    return runs


def rates(entrants: Sequence[Entrant], runs: dict[str, list[FanOut]], units: int) -> list[dict[str, Any]]:
    """Units a second, and against the best of the others in the same round."""
    contended = [[run.whole for run in runs[entrant.label]] for entrant in entrants if not entrant.is_ours]
    best = [min(seconds) for seconds in zip(*contended, strict=True)]
    rows = []
    for entrant in entrants:
        seconds = [run.whole for run in runs[entrant.label]]
        ratio = Spread.of([b / s for b, s in zip(best, seconds, strict=True)]).as_json() if best else None
        rows.append(
            {
                "label": entrant.label,
                "is_ours": entrant.is_ours,
                "kind": entrant.kind,
                "group": entrant.group,
                "units": units,
                "goal": entrant.goal,
                "units_per_second": Spread.of([units / s for s in seconds]).as_json(),
                "published_per_second": Spread.of([units / run.publishing for run in runs[entrant.label]]).as_json(),
                "ratio_to_best_other": ratio,
            }
        )
    return rows


def delays(entrant: Entrant, plan: Plan, runs: Sequence[FanOut]) -> dict[str, Any]:
    """Of small runs, one unit a message. runs: what tells how fast this one publishes and works."""
    SAY.print(f"delays: {entrant.label}")
    idle = idle_delays(entrant, plan.small)
    units, publishing_seconds = load_of(plan, runs)
    pause = publishing_seconds / (LOADED_SMALL + 1)
    loaded: list[float] = []
    for _ in range(plan.loads):
        loaded += loaded_delays(entrant, units=units, count=LOADED_SMALL, pause_seconds=pause)
    return {
        "label": entrant.label,
        "is_ours": entrant.is_ours,
        "load_units": units,
        "idle_ms": percentiles(idle),
        "loaded_ms": percentiles(loaded),
    }


def load_of(plan: Plan, runs: Sequence[FanOut]) -> tuple[int, float]:
    """How many units are published in the seconds of the plan, or fewer where working on them would take much longer;
    and how long it takes to publish them. The small runs lie between them.
    """
    published_per_second = plan.units / Spread.of([run.publishing for run in runs]).median
    worked_per_second = plan.units / Spread.of([run.whole for run in runs]).median
    fastest = min(published_per_second, worked_per_second * BACKLOG_MAX)
    units = min(max(round(fastest * plan.load_seconds), 1), UNITS_MAX)
    return units, units / published_per_second


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Nearest rank, in milliseconds; nothing but the count where nothing was measured."""
    ordered = sorted(second * 1000 for second in seconds)
    at = {f"p{share}": ordered[max(0, -(-len(ordered) * share // 100) - 1)] for share in (50, 99)} if ordered else {}
    return {**at, "count": len(ordered)}


def measure(plan: Plan, chosen: Sequence[System], folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"where": where(folder), "plan": asdict(plan), "small_units": SMALL_UNITS}
    with open_board() as board, ExitStack() as stack:
        contenders = [stack.enter_context(running(system, board, folder)) for system in chosen]
        entrants = [entrant for contender in contenders for entrant in entrants_of(contender)]
        for entrant in entrants:
            SAY.print(f"warming up: {entrant.label}")
            warm_up(entrant)
        runs = by_turns(entrants, plan.units, plan.rounds)
        report["rates"] = rates(entrants, runs, plan.units)
        single = [entrant for entrant in entrants if entrant.group == 1]
        report["delays"] = [delays(entrant, plan, runs[entrant.label]) for entrant in single]
        for units in plan.units_once:
            report["rates"] += rates(entrants, by_turns(entrants, units, 1), units)
        report["twice"] = [{"label": entrant.label, **asdict(deliver_twice(entrant))} for entrant in single]
    report["load_at_the_end"] = where(folder)["load"]
    return report


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="contenders, by commas; an unknown name shows all")
    parser.add_argument("--servers", action="store_true", help=f"as --only {','.join(ON_SERVERS)}")
    parser.add_argument("--units", help="units of the runs by turns, and by commas of those measured once")
    parser.add_argument("--rounds", type=int, help=f"at least {PAIRS_MIN} for a ratio to be quoted")
    parser.add_argument("--small", type=int, help="small runs, for the idle delays")
    parser.add_argument("--quick", action="store_true", help="a minute's look")
    parser.add_argument(
        "--data", type=Path, default=CACHE / "benchmarks", help="folder on a real disk (default %(default)s)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="machine-readable output")
    form.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    return parser.parse_args()


def plan_of(chosen: argparse.Namespace) -> Plan:
    plan = QUICK if chosen.quick else FULL
    if chosen.units:
        units, *once = (int(number) for number in chosen.units.split(","))
        plan = replace(plan, units=units, units_once=tuple(once))
    plan = replace(plan, rounds=chosen.rounds or plan.rounds, small=chosen.small or plan.small)
    if not all(1 <= units <= UNITS_MAX for units in (plan.units, *plan.units_once)):
        raise SystemExit(f"--units must lie between 1 and {UNITS_MAX}")
    return plan


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # everything that was started ends with it, in order
    chosen = options()
    plan = plan_of(chosen)
    named = [name for name in chosen.only.split(",") if name]
    contenders = systems(named or (ON_SERVERS if chosen.servers else BY_DEFAULT))
    with scratch_folder(chosen.data.resolve()) as folder:
        report = measure(plan, contenders, folder)
    if chosen.json:
        print(json.dumps(report, indent=2))
    elif chosen.markdown:
        print_markdown(report)
    else:
        print_tables(report, Console())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
