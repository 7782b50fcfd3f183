"""What a second worker process is worth: how much faster an analyze job gets with it, beside a bare loop.

    python benchmarks/scale_out.py [--seconds N] [--rounds N] [--analyzers A+B] [--on ENGINES]... [--data DIR] [--json]

Each round measures everything once, with one worker process and with two: the job on each choice of engines, and the
loop that only decodes and analyses (benchmarks/analyze.py). The share is the job's speed-up in a round, divided by the
loop's in the same round. The servers are those of the tests, with fsync on, and work on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analyze import Bare, Node, models_of, parts_of
from clip import clip_of
from measuring import CACHE, PAIRS_MIN, Spread, scratch_folder, where, where_in_words
from rich.console import Console
from rich.table import Table

from reelwork.runtime.log import configure_log
from reelwork.vision import pull_model
from tests import rabbitmq, seaweed, valkey
from tests.postgresql import postgresql_server

WORKERS = (1, 2)
GOAL_SHARE = 0.85
DEFAULT_SECONDS = 60
BARE = "bare loop"
Settings = Callable[[], dict[str, str]]
Run = Callable[[], float]


@contextmanager
def embedded() -> Iterator[Settings]:
    yield dict


@contextmanager
def on_servers(broker: Callable[[], AbstractContextManager[Settings]]) -> Iterator[Settings]:
    """Queues, a database and objects of its own for whoever asks."""
    with broker() as queues, postgresql_server(durable=True) as database, seaweed.seaweed_server() as objects:
        os.environ.update(seaweed.CREDENTIALS)

        def settings() -> dict[str, str]:
            return {
                **queues(),
                "REELWORK_DATABASE_URL": database.new_database(),
                "REELWORK_OBJECTS_URL": objects.url(prefix=objects.new_prefix()),
            }

        yield settings


@contextmanager
def rabbitmq_broker() -> Iterator[Settings]:
    with rabbitmq.rabbit_server() as server:
        yield lambda: {"REELWORK_BROKER_URL": server.url(prefix=server.new_prefix())}


@contextmanager
def redis_broker() -> Iterator[Settings]:
    with valkey.valkey_server(appendonly="yes", appendfsync="everysec") as server:
        yield lambda: {"REELWORK_BROKER_URL": server.url(prefix=server.new_prefix())}


ENGINES: dict[str, Callable[[], AbstractContextManager[Settings]]] = {
    "SQLite, files": embedded,
    "RabbitMQ, PostgreSQL, S3": partial(on_servers, rabbitmq_broker),
    "Redis, PostgreSQL, S3": partial(on_servers, redis_broker),
}
DEFAULT_ENGINES = ("SQLite, files", "RabbitMQ, PostgreSQL, S3")


@contextmanager
def prepared(
    engines: Sequence[str], clip: Path, pipeline_id: str, folder: Path
) -> Iterator[dict[tuple[str, int], Run]]:
    """What is measured, by what it stands on and the number of its worker processes; all of them warm and idle."""
    with ExitStack() as opened:
        runs: dict[tuple[str, int], Run] = {}
        for count in WORKERS:
            parts, frames = parts_of(clip, count)
            runs[BARE, count] = partial(opened.enter_context(Bare(count)).run, parts, pipeline_id, frames)
        for name in engines:
            settings = opened.enter_context(ENGINES[name]())
            for count in WORKERS:
                node = Node(folder / f"{len(runs)}", workers=count, **settings())
                runs[name, count] = partial(_seconds, opened.enter_context(node), clip, pipeline_id, frames)
        yield runs


def _seconds(node: Node, clip: Path, pipeline_id: str, frames: int) -> float:
    run = node.run_job(clip, pipeline_id)
    assert run.frames == frames, f"{run.frames} results for {frames} frames"
    return run.seconds


def measure(runs: Mapping[tuple[str, int], Run], rounds: int, say: Console) -> dict[str, dict[str, Any]]:
    """By what it stands on: seconds with one and with two, the speed-up, and its share of the bare loop's."""
    seconds: dict[tuple[str, int], list[float]] = {what: [] for what in runs}
    for number in range(rounds + 1):
        say.print(f"round {number} of {rounds} ..." if number else "once, to get warm ...")
        for what in list(runs)[:: 1 if number % 2 else -1]:
            taken = runs[what]()
            if number:
                seconds[what].append(taken)
    speed_ups = {
        name: [one / two for one, two in zip(seconds[name, 1], seconds[name, 2], strict=True)]
        for name in dict.fromkeys(name for name, _ in runs)
    }
    shares = {
        name: [own / bare for own, bare in zip(speed_ups[name], speed_ups[BARE], strict=True)] for name in speed_ups
    }
    return {
        name: {
            "seconds": {str(count): Spread.of(seconds[name, count]).as_json() for count in WORKERS},
            "speed_up": Spread.of(speed_ups[name]).as_json(),
            "share": Spread.of(shares[name]).as_json(),
        }
        for name in speed_ups
    }


def print_table(report: dict[str, Any], console: Console) -> None:
    console.print(where_in_words(report["where"]), highlight=False)
    console.print(
        f"{report['seconds']} s of 1080p H.264, {report['analyzers']}, {report['rounds']} rounds\n", highlight=False
    )
    table = Table(title="Median (lowest to highest)", title_justify="left")
    for heading in ("", "1 worker, s", "2 workers, s", "speed-up", "share of the bare loop's", f"goal {GOAL_SHARE}"):
        table.add_column(heading, justify="right")
    for name, row in report["measured"].items():
        one, two = (Spread(**row["seconds"][str(count)]) for count in WORKERS)
        share = Spread(**row["share"])
        verdict = "reached" if share.median >= GOAL_SHARE else "MISSED"
        table.add_row(
            name,
            one.text(".2f"),
            two.text(".2f"),
            Spread(**row["speed_up"]).text(".3f"),
            *(("", "") if name == BARE else (share.text(".3f"), verdict)),
        )
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=DEFAULT_SECONDS, help="length of the clip (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=PAIRS_MIN, help="of all measurements (default %(default)s)")
    parser.add_argument("--analyzers", default="quality", help="what to time (default %(default)s)")
    parser.add_argument("--on", choices=[*ENGINES], action="append", help=f"default: {' and '.join(DEFAULT_ENGINES)}")
    parser.add_argument("--data", type=Path, default=CACHE / "benchmarks", help="folder on a real disk")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    say = Console(stderr=True)
    configure_log("warning")
    os.environ["REELWORK_MODELS_DIR"] = str(CACHE / "reelwork-models")
    for model in models_of(options.analyzers):
        pull_model(model)
    clip = clip_of(options.seconds, options.data)
    with (
        scratch_folder(options.data) as folder,
        prepared(options.on or DEFAULT_ENGINES, clip, options.analyzers, folder) as runs,
    ):
        report = {
            "where": where(folder),
            "seconds": options.seconds,
            "analyzers": options.analyzers,
            "rounds": options.rounds,
            "measured": measure(runs, options.rounds, say),
        }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_table(report, Console(width=max(Console().width, 150)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
