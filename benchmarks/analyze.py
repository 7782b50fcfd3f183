"""What a job costs beyond its work: wall time and memory of the analyze pipeline on a 1080p clip, two workers.

    python benchmarks/analyze.py [--seconds N] [--pairs N] [--analyzers A,B+C] [--data DIR] [--quick] [--json]

The job: a warm node (relay, sweeper, two worker processes), from the first byte handed in to `completed`: stored,
hashed, probed, planned, analysed, merged. The yardstick: two warm processes, each decoding its half of the video, cut
at a keyframe, with PyAV and showing each frame to the same analyzer; nothing stored, nothing checked, nothing merged.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import re
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import av
import psutil
from clip import clip_of, repeated
from measuring import CACHE, PAIRS_MIN, Pairs, Spread, alternated, scratch_folder, where, where_in_words
from rich.console import Console
from rich.table import Table

from reelwork.ledger import JobStatus
from reelwork.media import Frame, build_frame_index
from reelwork.media.frame import PictureConverter
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from reelwork.pipelines.analyze.analyzers import Analyzer, FrameAnalyzer, SequenceAnalyzer, load_analyzers
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.intake import file_chunks, take_video
from reelwork.runtime.jobs import Jobs
from reelwork.runtime.log import configure_log
from reelwork.runtime.node import run_node
from reelwork.settings import Config
from reelwork.vision import pull_model

WORKERS = 2
GOAL_RATIO = 1.15
GOAL_PEAK_MEGABYTES = 400
POLL_SECONDS = 0.02
SAMPLE_SECONDS = 0.02
DEFAULT_SECONDS = 60
DEFAULT_ANALYZERS = "quality,shots+quality,objects"
ALL_TOGETHER = "quality+shots+objects"
OCR_FRAMES = 8
JOB_SECONDS_MAX = 1_800
STEPS = ("store and probe", "plan", "analyse", "merge")


class Node:
    """What `reelwork serve` runs, less its HTTP: relay, sweeper and worker processes, on a loop in a thread.

    settings: by their names, where it is to stand on something else than the data folder.
    """

    def __init__(self, data: Path, *, workers: int = WORKERS, **settings: str) -> None:
        self._config = Config(REELWORK_DATA_DIR=data, REELWORK_LOG_LEVEL="warning", **settings)
        self._workers = workers
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, Backends]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="node")

    def __enter__(self) -> Node:
        self._thread.start()
        self._loop, self._stop, self._backends = self._started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        try:
            backends = await open_backends(self._config)
        except BaseException as error:
            self._started.set_exception(error)
            raise
        stop = asyncio.Event()
        self._started.set_result((asyncio.get_running_loop(), stop, backends))
        await run_node(backends, stop, workers=self._workers)
        await backends.close()

    def worker_pids(self) -> list[int]:
        return [child.pid for child in psutil.Process().children() if _role(child.cmdline()) == "worker"]

    def run_job(self, clip: Path, pipeline_id: str, max_frames: int | None = None) -> JobRun:
        """Submits the clip and waits for its results."""
        job = self._run_job(clip, pipeline_id, max_frames)
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(JOB_SECONDS_MAX)

    async def _run_job(self, clip: Path, pipeline_id: str, max_frames: int | None) -> JobRun:
        backends, job_id = self._backends, uuid4()
        jobs = Jobs(backends.ledger, backends.catalogue)
        ledger, read = backends.ledger, backends.recorder.read
        began, began_at = time.perf_counter(), time.time()
        checked = jobs.check("analyze", {"pipeline_id": pipeline_id, "max_frames": max_frames})
        video = await take_video(
            backends.objects, job_id, _never_seen(clip), bytes_max=backends.config.REELWORK_MAX_UPLOAD_BYTES
        )
        stored_at = time.time()
        parameters = video.job_parameters(checked)
        await read(lambda: jobs.create("analyze", job_id=job_id, input_path=video.key, parameters=parameters))
        while not (job := await read(ledger.job, str(job_id))).status.is_terminal:
            await asyncio.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - began
        assert job.status is JobStatus.COMPLETED, job.error_message
        assert job.output_path is not None
        frames = len(json.loads(backends.objects.get(job.output_path)))
        (stage,) = [stage for stage in ledger.stage_status(str(job_id)) if stage.stage == RANGES_STAGE]
        rows = ledger.outbox(str(job_id))
        assert sum(row.topic == "video.ranges.completed" for row in rows) == 1
        planned_at = max(row.created_at for row in rows if row.topic == "video.range.ready") / 1000
        assert stage.completed_at is not None
        analysed_at = stage.completed_at / 1000
        moments = (began_at, stored_at, planned_at, analysed_at, job.updated_at / 1000)
        steps = {step: end - start for step, (start, end) in zip(STEPS, pairwise(moments), strict=True)}
        return JobRun(seconds, frames, stage.done, steps)


async def _never_seen(clip: Path) -> AsyncIterator[bytes]:
    """The clip with an empty box behind it that makes it another file, so that no job finds the index of the last."""
    async for chunk in file_chunks(clip):
        yield chunk
    yield (8 + 16).to_bytes(4, "big") + b"free" + uuid4().bytes


@dataclass(frozen=True)
class JobRun:
    """ranges: how many. steps: seconds of each."""

    seconds: float
    frames: int
    ranges: int
    steps: dict[str, float]


@dataclass(frozen=True)
class Part:
    """Of a video: [start, end) in presentation times; it begins at a keyframe. end: None = to the last."""

    path: Path
    start: int
    end: int | None


class Bare:
    """The yardstick: warm processes and a pipe to each."""

    def __init__(self, workers: int = WORKERS) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(workers):
            own, theirs = context.Pipe()
            process = context.Process(target=_work_bare, args=(theirs,), daemon=True)
            process.start()
            self._pipes.append(own)
            self._processes.append(process)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()

    def run(self, parts: list[Part], pipeline_id: str, frames: int) -> float:
        started = time.perf_counter()
        for pipe, part in zip(self._pipes, parts, strict=True):
            pipe.send((part, pipeline_id))
        analysed = sum(pipe.recv() for pipe in self._pipes)
        seconds = time.perf_counter() - started
        assert analysed == frames, f"{analysed} frames instead of {frames}"
        return seconds


def parts_of(clip: Path, count: int = WORKERS) -> tuple[list[Part], int]:
    """As many equal parts, each cut at the nearest keyframe, and how many frames they have together."""
    index = build_frame_index(clip)
    keyframes = index.keyframes.tolist()
    cuts = [min(keyframes, key=lambda at: abs(at - len(index) * number / count)) for number in range(1, count)]
    times = [index.pts.item(at) for at in (0, *cuts)]
    return [Part(clip, start, end) for start, end in pairwise([*times, None])], len(index)


def _work_bare(pipe: Connection) -> None:
    loaded: dict[str, tuple[Analyzer, ...]] = {}
    while (task := pipe.recv()) is not None:
        part, pipeline_id = task
        if pipeline_id not in loaded:
            loaded[pipeline_id] = load_analyzers(pipeline_id)
        pipe.send(_analyse_bare(part, loaded[pipeline_id]))


def _analyse_bare(part: Part, analyzers: tuple[Analyzer, ...]) -> int:
    results: list[Any] = []
    last: dict[str, Any] = {}
    converter, frames = PictureConverter(), 0
    with av.open(str(part.path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(part.start, stream=stream)
        for decoded in container.decode(stream):
            if decoded.pts is None or decoded.pts < part.start:
                continue
            if part.end is not None and decoded.pts >= part.end:
                break
            frame = Frame(decoded, frames, decoded.time or 0.0, converter)
            for analyzer in analyzers:
                if isinstance(analyzer, FrameAnalyzer):
                    results.append(analyzer.analyze(frame))
                elif isinstance(analyzer, SequenceAnalyzer):
                    seen = analyzer.observe(frame)
                    results.append(analyzer.compare(last.get(analyzer.name), seen))
                    last[analyzer.name] = seen
            frames += 1
    return frames


def measure_time(node: Node, bare: Bare, clip: Path, pipeline_id: str, pairs: int) -> dict[str, Any]:
    parts, frames = parts_of(clip)
    runs: list[JobRun] = []
    processor: dict[str, list[float]] = {"job": [], "bare": []}

    def job() -> float:
        before = processor_seconds([os.getpid(), *node.worker_pids()])
        run = node.run_job(clip, pipeline_id)
        processor["job"].append(processor_seconds([os.getpid(), *node.worker_pids()]) - before)
        assert run.frames == frames, f"{run.frames} results for {frames} frames"
        runs.append(run)
        return run.seconds

    def loop() -> float:
        before = processor_seconds(bare.pids)
        seconds = bare.run(parts, pipeline_id, frames)
        processor["bare"].append(processor_seconds(bare.pids) - before)
        return seconds

    measured = alternated(job, loop, pairs)
    warm = runs[1:]
    burnt = Pairs(processor["job"][1:], processor["bare"][1:])
    return {
        "analyzers": pipeline_id,
        "frames": frames,
        "ranges": warm[0].ranges,
        "job_seconds": Spread.of(measured.first).as_json(),
        "bare_seconds": Spread.of(measured.second).as_json(),
        "ratio": measured.ratio.as_json(),
        "job_processor_seconds": Spread.of(burnt.first).as_json(),
        "bare_processor_seconds": Spread.of(burnt.second).as_json(),
        "processor_ratio": burnt.ratio.as_json(),
        "steps_seconds": {step: round(statistics.median(run.steps[step] for run in warm), 3) for step in STEPS},
    }


def processor_seconds(pids: list[int]) -> float:
    """What these processes and their ended children have used: it says more than wall time where others work too."""
    return sum(sum(psutil.Process(pid).cpu_times()[:4]) for pid in pids)


def measure_memory(data: Path, clip: Path, seconds: int, pipeline_id: str, max_frames: int | None) -> dict[str, Any]:
    """Peak resident memory of every process of one job, in a fresh tree of processes."""
    context = multiprocessing.get_context("spawn")
    own, theirs = context.Pipe()
    process = context.Process(target=_run_watched, args=(theirs, data, clip, pipeline_id, max_frames))
    process.start()
    theirs.close()
    peaks: dict[str, int] = own.recv()
    process.join()
    megabytes = {role: round(kilobytes * 1024 / 1e6) for role, kilobytes in sorted(peaks.items())}
    return {"analyzers": pipeline_id, "seconds": seconds, "max_frames": max_frames, "peak_megabytes": megabytes}


def _run_watched(pipe: Connection, data: Path, clip: Path, pipeline_id: str, max_frames: int | None) -> None:
    configure_log("warning")
    with Node(data) as node, _watched() as peaks:
        node.run_job(clip, pipeline_id, max_frames)
    pipe.send(peaks)


@contextlib.contextmanager
def _watched() -> Iterator[dict[str, int]]:
    """Fills in, while the block runs, the highest VmHWM (kB) of this process and of those below it, by their roles."""
    peaks: dict[str, int] = {}
    over = threading.Event()

    def look() -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                role = _role(process.cmdline())  # asked first: before its exec, a child still shows its parent's peak
                if role is not None:
                    name = f"{role} {process.pid}" if role == "worker" else role
                    peaks[name] = max(peaks.get(name, 0), _peak_kilobytes(process.pid))
        peaks["node"] = _peak_kilobytes(os.getpid())

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        look()
        over.set()
        watcher.join()
        workers = sorted(name for name in peaks if name.startswith("worker"))
        for number, name in enumerate(workers, start=1):
            peaks[f"worker {number}"] = peaks.pop(name)


def _role(command: list[str]) -> str | None:
    return next((role for module, role in _ROLES.items() if module in command), None)


_ROLES = {"reelwork.runtime.process": "worker", "reelwork.media.probe_child": "probe"}


def _peak_kilobytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    return int(found[1]) if found else 0


def print_tables(report: dict[str, Any], console: Console) -> None:
    console.print(where_in_words(report["where"]), highlight=False)
    clip = report["clip"]
    console.print(f"{clip['seconds']} s of 1080p H.264, {clip['megabits_per_second']} Mbit/s\n", highlight=False)
    wall = Table(title="Wall seconds with 2 workers: median (lowest to highest)", title_justify="left")
    for heading in (
        "analyzers",
        "ranges",
        "job",
        "bare loop",
        "ratio",
        f"goal {GOAL_RATIO}",
        "processor ratio",
        *STEPS,
    ):
        wall.add_column(heading, justify="right")
    for row in report["time"]:
        job, bare, ratio = (Spread(**row[name]) for name in ("job_seconds", "bare_seconds", "ratio"))
        wall.add_row(
            row["analyzers"],
            str(row["ranges"]),
            job.text(".2f"),
            bare.text(".2f"),
            ratio.text(".3f"),
            _verdict(ratio.median <= GOAL_RATIO),
            Spread(**row["processor_ratio"]).text(".3f"),
            *(f"{row['steps_seconds'][step]:.2f}" for step in STEPS),
        )
    console.print(wall)
    memory = Table(title="Peak resident memory (VmHWM) of every process, MB", title_justify="left")
    for heading in ("analyzers", "video", "processes", f"goal {GOAL_PEAK_MEGABYTES}"):
        memory.add_column(heading, justify="right")
    for row in report["memory"]:
        peaks = row["peak_megabytes"]
        video = f"{row['seconds']} s" + (f", {row['max_frames']} frames" if row["max_frames"] else "")
        goal = "apart" if row["analyzers"] == "ocr" else _verdict(max(peaks.values()) < GOAL_PEAK_MEGABYTES)
        memory.add_row(row["analyzers"], video, ", ".join(f"{role} {peak}" for role, peak in peaks.items()), goal)
    console.print(memory)


def _verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=DEFAULT_SECONDS, help="length of the clip (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=PAIRS_MIN, help="alternated pairs (default %(default)s)")
    parser.add_argument("--analyzers", default=DEFAULT_ANALYZERS, help="what to time (default %(default)s)")
    parser.add_argument("--data", type=Path, default=CACHE / "benchmarks", help="folder on a real disk")
    parser.add_argument("--quick", action="store_true", help="a look: 20 s, 3 pairs, quality only, memory once")
    parser.add_argument("--only", choices=("time", "memory"), help="half of it")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.pairs, options.analyzers = 20, 3, "quality"
    say = Console(stderr=True)
    configure_log("warning")
    os.environ["REELWORK_MODELS_DIR"] = str(CACHE / "reelwork-models")
    timed = options.analyzers.split(",")
    for model in sorted({model for name in timed for model in models_of(name)} | {*models_of(ALL_TOGETHER)}):
        pull_model(model)
    say.print(f"clip of {options.seconds} s (made once, kept in .cache) ...")
    clip = clip_of(options.seconds, options.data)
    with scratch_folder(options.data) as folder:
        report: dict[str, Any] = {
            "where": where(folder),
            "clip": {
                "seconds": options.seconds,
                "megabits_per_second": round(clip.stat().st_size * 8 / options.seconds / 1e6, 1),
            },
            "pairs": options.pairs,
            "time": [],
            "memory": [],
        }
        if options.only != "memory":
            with Node(folder / "timed") as node, Bare() as bare:
                for pipeline_id in timed:
                    say.print(f"wall time of {pipeline_id} ...")
                    report["time"].append(measure_time(node, bare, clip, pipeline_id, options.pairs))
        if options.only != "time":
            for number, (length, pipeline_id, frames) in enumerate(_memory_runs(options)):
                say.print(f"memory of {pipeline_id}, {length} s ...")
                video = repeated(clip_of(20, options.data), length // 20)
                row = measure_memory(folder / f"watched-{number}", video, length, pipeline_id, frames)
                report["memory"].append(row)
        report["load_at_the_end"] = where(folder)["load"]
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_tables(report, Console(width=max(Console().width, 150)))
    return 0


def models_of(pipeline_id: str) -> list[str]:
    from importlib.metadata import entry_points

    entries = entry_points(group="reelwork.analyzers")
    return [model for name in pipeline_id.split("+") for model in entries[name].load().models]


def _memory_runs(options: argparse.Namespace) -> list[tuple[int, str, int | None]]:
    """(seconds of video, analyzers, max_frames)"""
    if options.quick:
        return [(20, ALL_TOGETHER, 100)]
    each = [(60, name, None) for name in ("quality", "shots", "objects")]
    lengths = [(20, ALL_TOGETHER, None), (60, ALL_TOGETHER, None), (240, "shots+quality", None)]
    return [*each, *lengths, (20, "ocr", OCR_FRAMES)]


if __name__ == "__main__":
    sys.exit(main())
