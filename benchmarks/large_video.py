"""A large video through S3 and through a folder: what it costs in time, memory and disk of every process of Reelwork.

One server and two worker processes with folders of their own, PostgreSQL, and SeaweedFS as S3. The video is noise at a
high bitrate, encoded once and repeated; it is uploaded by HTTP, probed, and all of its frames are analysed. Every
process is watched while it lives, and the folders for temporary files with it. Whatever was made is removed.

    python benchmarks/large_video.py [--gigabytes 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import CACHE, scratch_folder, stopwatch, where, where_in_words
from reelwork.ledger import open_ledger
from tests.e2e.commands import Running, running
from tests.postgresql import fresh_database
from tests.seaweed import CREDENTIALS, seaweed_server

MEMORY_MB_MAX: Final = 400
LOOK_SECONDS: Final = 0.05
JOB_SECONDS_MAX: Final = 3_600
RATE, WIDTH, HEIGHT, GROUP = 25, 1280, 720, 25
PIPELINE_ID: Final = "quality"
PEAK: Final = re.compile(r"VmHWM:\s+(\d+) kB")


def noise_video(path: Path, size_bytes: int) -> int:
    """H.264 of at least so many bytes, its tables at the end; how many frames. One group of pictures, repeated."""
    group = _encoded_group(path.with_suffix(".group.mp4"))
    frames = 0
    with av.open(str(group)) as given, av.open(str(path), "w") as made:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.size]
        copy, length = made.add_stream_from_template(stream), len(packets) * packets[0].duration
        written = 0
        while written < size_bytes:
            for packet in packets:
                packet.stream = copy
                made.mux(packet)
                packet.pts, packet.dts = packet.pts + length, packet.dts + length
                written += packet.size
            frames += len(packets)
    group.unlink()
    return frames


def _encoded_group(path: Path) -> Path:
    random = np.random.default_rng(5)
    options = {"preset": "ultrafast", "qp": "14", "g": str(GROUP), "bf": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(GROUP):
            plane = random.integers(16, 236, (HEIGHT * 3 // 2, WIDTH), np.uint8)
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@dataclass(slots=True)
class Watched:
    """Peaks in bytes. files: of what lay in the folder for temporary files, or was open and had no name."""

    role: str
    memory: int = 0
    files: int = 0
    written: int = 0


@dataclass(slots=True)
class Watch:
    """Looks at all processes below some, until it is left."""

    roles: dict[int, str]
    folders: dict[str, Path]
    seen: dict[tuple[int, float], Watched] = field(default_factory=dict)
    left_in_folders: dict[str, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def __call__(self) -> Iterator[Watch]:
        looking = threading.Thread(target=self._look_on)
        looking.start()
        try:
            yield self
        finally:
            self._over.set()
            looking.join()

    def _look_on(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for pid, role in self.roles.items():
                parent = psutil.Process(pid)
                for process in (parent, *parent.children(recursive=True)):
                    try:
                        self._look(process, role)
                    except (psutil.Error, OSError):
                        continue  # it has ended
            for role, folder in self.folders.items():
                held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                self.left_in_folders[role] = max(held, self.left_in_folders.get(role, 0))

    def _look(self, process: psutil.Process, role: str) -> None:
        command = " ".join(process.cmdline())
        name = "probe" if "probe_child" in command else "worker process" if "runtime.process" in command else "parent"
        watched = self.seen.setdefault((process.pid, process.create_time()), Watched(f"{role}: {name}"))
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        if (peak := PEAK.search(status)) is not None:
            watched.memory = max(watched.memory, int(peak[1]) * 1024)
        watched.written = max(watched.written, process.io_counters().write_bytes)
        watched.files = max(watched.files, _nameless_bytes(process.pid))


def _nameless_bytes(pid: int) -> int:
    """Of open files on a disk that have no name any more."""
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(descriptor)
        if target.startswith("/") and target.endswith(" (deleted)") and not target.startswith(("/memfd:", "/dev/")):
            held += os.stat(descriptor).st_size
    return held


def measure(store: str, video: Path, folder: Path, *, workers: int) -> dict[str, Any]:
    """Uploads and analyses the video; the figures."""
    with ExitStack() as opened:
        shared = {"REELWORK_DATABASE_URL": opened.enter_context(fresh_database(migrated=False))}
        if store == "s3":
            shared |= {**CREDENTIALS, "REELWORK_OBJECTS_URL": opened.enter_context(seaweed_server()).url()}
        else:
            shared["REELWORK_OBJECTS_URL"] = f"file://{folder}/shared"
        folders: dict[str, Path] = {}

        def machine(role: str, *command: str) -> Running:
            folders[role] = folder / role
            (folder / role / "tmp").mkdir(parents=True)
            environment = {**shared, "TMPDIR": str(folder / role / "tmp")}
            arguments = [*command, "--data", folder / role / "data"]
            return opened.enter_context(running(arguments, environment=environment))

        server = machine("server", "serve", "--port", "0", "--workers", "0")
        running_workers = {
            f"worker {n}": machine(f"worker {n}", "worker", "--concurrency", "1") for n in range(workers)
        }
        roles = {one.process.pid: role for role, one in [("server", server), *running_workers.items()]}
        with Watch(roles, folders)() as watch:
            url = server.told["url"]
            began = time.perf_counter()
            job_id = _uploaded(url, video)
            upload_seconds = time.perf_counter() - began
            analyze_seconds = stopwatch(lambda: _wait(url, job_id))
            frames = _frames(url, job_id)
        ledger = open_ledger(shared["REELWORK_DATABASE_URL"])
        ranges = [stage.expected for stage in ledger.stage_status(job_id)]
        ledger.close()
    size = video.stat().st_size
    return {
        "store": store,
        "megabytes": round(size / 1e6),
        "frames": frames,
        "ranges": ranges,
        "upload_mb_per_second": round(size / 1e6 / upload_seconds, 1),
        "analyze_mb_per_second": round(size / 1e6 / analyze_seconds, 1),
        "upload_seconds": round(upload_seconds, 1),
        "analyze_seconds": round(analyze_seconds, 1),
        "processes": [asdict(one) for one in watch.seen.values()],
        "folders": watch.left_in_folders,
    }


def _uploaded(url: str, video: Path) -> str:
    with video.open("rb") as file:
        answer = httpx.post(
            f"{url}/video/submit", data={"pipeline_id": PIPELINE_ID}, files={"file": file}, timeout=JOB_SECONDS_MAX
        )
    job_id: str = answer.raise_for_status().json()["job_id"]
    return job_id


def _wait(url: str, job_id: str) -> None:
    deadline = time.monotonic() + JOB_SECONDS_MAX
    while (status := httpx.get(f"{url}/video/status/{job_id}", timeout=60).json()["status"]) != "completed":
        if status == "failed" or time.monotonic() > deadline:
            raise SystemExit(f"the job is {status}: {httpx.get(f'{url}/jobs/{job_id}').text}")
        time.sleep(0.2)


def _frames(url: str, job_id: str) -> int:
    with httpx.stream("GET", f"{url}/video/results/{job_id}", timeout=60) as answer:
        return sum(line.count('"frame_index"') for line in answer.iter_lines())


def print_tables(report: dict[str, Any], console: Console) -> None:
    console.print(where_in_words(report["where"]))
    times = Table("store", "MB", "frames", "upload and probe", "", "analysis", "", title="Time")
    for row in report["runs"]:
        seconds = (f"{row['upload_seconds']} s", f"{row['upload_mb_per_second']} MB/s")
        times.add_row(
            row["store"],
            str(row["megabytes"]),
            str(row["frames"]),
            *seconds,
            f"{row['analyze_seconds']} s",
            f"{row['analyze_mb_per_second']} MB/s",
        )
    console.print(times)
    memory = Table("store", "process", "VmHWM", "temporary files", "written to disk", title="Each process, at its peak")
    for row in report["runs"]:
        for one in row["processes"]:
            shown = [f"{one[name] / 1e6:.1f} MB" for name in ("memory", "files", "written")]
            memory.add_row(row["store"], one["role"], *shown)
    console.print(memory)
    for row in report["runs"]:
        held = ", ".join(f"{role} {size / 1e6:.1f} MB" for role, size in row["folders"].items())
        console.print(f"{row['store']}: own folders held at most: {held}")
    console.print("reached" if report["is_reached"] else "NOT reached", f"(each process at most {MEMORY_MB_MAX} MB)")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--stores", default="s3,file", help="joined by commas")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, default=CACHE, help="folder for everything, which is removed")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    say = Console(stderr=True)
    with scratch_folder(options.data) as folder:
        say.print(f"making a video of {options.gigabytes:g} GB ...")
        video = folder / "noise.mp4"
        frames = noise_video(video, round(options.gigabytes * 1e9))
        report: dict[str, Any] = {"where": where(folder), "runs": []}
        for store in options.stores.split(","):
            say.print(f"through {store} ...")
            row = measure(store, video, folder / store, workers=options.workers)
            if row["frames"] != frames:
                raise SystemExit(f"{row['frames']} frames of {frames} came out")
            report["runs"].append(row)
    peak = max(one["memory"] for row in report["runs"] for one in row["processes"])
    report["is_reached"] = peak <= MEMORY_MB_MAX * 1e6
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_tables(report, Console(width=max(Console().width, 120)))
    return 0 if report["is_reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
