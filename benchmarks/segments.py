"""Cutting a large video and joining it again, beside `ffmpeg -c copy` doing the same; and what converting costs.

Both sides write as many segments, and one joined file that plays from its beginning, in one folder, by turns.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import av

sys.path.insert(0, str(Path(__file__).resolve().parent))

from clip import HEIGHT, KEYFRAME_INTERVAL, RATE, WIDTH, pictures, repeated
from contenders.system import OTHERS
from measuring import CACHE, PAIRS_MIN, Spread, alternated, scratch_folder, stopwatch, where, where_in_words

from reelwork.media import convert_frames, count_frames, cut_segments, join_segments, plan_cuts
from reelwork.objects import open_objects
from reelwork.objects.keys import final_key, segment_key
from reelwork.pipelines.stereo.models import load_model

JOB: Final = "benchmark"
SEGMENT_SECONDS: Final = 10
BASE_SECONDS: Final = 10
MEGABITS: Final = 24
GOAL: Final = 1.3
MEMORY_GOAL_MB: Final = 250
CONVERTED_FRAMES: Final = 75


def large_video(folder: Path, bytes_min: int) -> Path:
    """1080p H.264 of MEGABITS a second at least, as many times ten seconds as make it so large."""
    base = folder / f"1080p-{BASE_SECONDS}s-{MEGABITS}mbit.mp4"
    if not base.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rate = f"{MEGABITS}M"
        options = {"preset": "veryfast", "g": str(KEYFRAME_INTERVAL), "threads": "0", "b": rate, "minrate": rate}
        options |= {"maxrate": rate, "bufsize": rate, "x264-params": "nal-hrd=cbr"}
        unfinished = base.with_suffix(".part.mp4")
        with av.open(str(unfinished), "w") as container:
            stream = container.add_stream("libx264", rate=RATE, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for number, picture in enumerate(pictures(BASE_SECONDS * RATE)):
                frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        unfinished.rename(base)
    return repeated(base, -(-bytes_min // base.stat().st_size))


def through_reelwork(source: Path, folder: Path) -> None:
    """What the chunking-worker, video-workers that convert nothing, and the media-worker do with a store of files."""
    objects = open_objects(f"file://{folder}/objects")
    plan = plan_cuts(source, target_seconds=SEGMENT_SECONDS)
    total = len(plan.segments)
    for segment_index, data in cut_segments(source, plan):
        objects.put(segment_key(JOB, segment_index, total, "sbs"), data)
        del data  # or two segments would be in memory
    keys = [segment_key(JOB, segment_index, total, "sbs") for segment_index in range(total)]
    segments = [partial(objects.readable, key) for key in keys]
    with objects.staged("attempt.mp4") as output:
        join_segments(segments, plan, source, output)
    objects.promote("attempt.mp4", final_key(JOB))
    objects.delete(["attempt.mp4"])


def ffmpeg() -> str:
    """The program that imageio-ffmpeg brings, by its path."""
    asked = [str(OTHERS / "python"), "-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"]
    try:
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit("it measures beside ffmpeg, which `make bench` installs in .venv-bench") from None


def through_ffmpeg(program: str, source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    quiet = [program, "-y", "-loglevel", "error"]
    cut = ["-c", "copy", "-f", "segment", "-segment_time", str(SEGMENT_SECONDS), "-reset_timestamps", "1"]
    subprocess.run([*quiet, "-i", str(source), *cut, str(folder / "%05d.mp4")], check=True)
    names = sorted(folder.glob("[0-9]*.mp4"))
    (folder / "list.txt").write_text("".join(f"file '{name}'\n" for name in names))
    joined = ["-f", "concat", "-safe", "0", "-i", str(folder / "list.txt"), "-c", "copy", "-movflags", "+faststart"]
    subprocess.run([*quiet, *joined, str(folder / "final.mp4")], check=True)


def seconds_of(work: Callable[[Path, Path], None], source: Path, parent: Path, peaks: list[float]) -> float:
    """In a process of its own, whose highest memory (MB) goes to `peaks`; every run leaves an empty folder."""
    folder = parent / "run"
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_timed, args=(work, source, folder, sender))
    process.start()
    seconds, peak = receiver.recv()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work} ended with {process.exitcode}")
    peaks.append(peak)
    shutil.rmtree(folder)
    return float(seconds)


def _timed(work: Callable[[Path, Path], None], source: Path, folder: Path, sender: Any) -> None:
    started = time.perf_counter()
    work(source, folder)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000
    sender.send((seconds, peak))


def conversion(source: Path, names: list[str], pairs: int) -> dict[str, Spread]:
    """Frames a second of each model as a part of those of decoding and encoding alone."""
    plan = plan_cuts(source, target_seconds=CONVERTED_FRAMES / RATE)
    data = next(cut_segments(source, plan))[1]
    found = {}
    for name in names:
        model = load_model(name)
        alone = partial(stopwatch, partial(convert_frames, data, lambda picture: picture))
        converted = partial(stopwatch, partial(model.process_segment, data, mode="sbs-half", depth_range=(0.0, 1.0)))
        measured = alternated(alone, converted, pairs)
        found[name] = measured.ratio
        found[f"{name}_frames_per_second"] = Spread.of([count_frames(data) / one for one in measured.second])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1_000, help="size of the video (1000)")
    parser.add_argument("--pairs", type=int, default=PAIRS_MIN, help="alternated runs of each side (7)")
    parser.add_argument("--models", default="shift,depth", help="models whose conversion is measured; empty for none")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    source = large_video(CACHE / "benchmarks", asked.megabytes * 10**6)
    others = partial(through_ffmpeg, ffmpeg())
    peaks: dict[str, list[float]] = {"reelwork": [], "ffmpeg": []}
    with scratch_folder(CACHE / "benchmarks") as folder:
        place = where(folder)
        ratio = alternated(
            lambda: seconds_of(through_reelwork, source, folder, peaks["reelwork"]),
            lambda: seconds_of(others, source, folder, peaks["ffmpeg"]),
            asked.pairs,
        )
        models = conversion(source, [name for name in asked.models.split(",") if name], asked.pairs)
    figures = {
        "megabytes": source.stat().st_size / 1e6,
        "reelwork_seconds": Spread.of(ratio.first).as_json(),
        "ffmpeg_seconds": Spread.of(ratio.second).as_json(),
        "ratio": ratio.ratio.as_json(),
        "memory_mb": max(peaks["reelwork"]),
        "conversion": {name: spread.as_json() for name, spread in models.items()},
    }
    if asked.json:
        print(json.dumps({"where": place, **figures}, indent=2))
        return
    print(where_in_words(place))
    print(f"cut and join {figures['megabytes']:,.0f} MB, {asked.pairs} pairs:")
    print(f"  Reelwork  {Spread.of(ratio.first).text('.2f')} s, at most {figures['memory_mb']:.0f} MB")
    print(f"  ffmpeg    {Spread.of(ratio.second).text('.2f')} s")
    verdict = "reached" if ratio.ratio.median <= GOAL else "MISSED"
    print(f"  ratio     {ratio.ratio.text('.2f')}, goal {GOAL}: {verdict}")
    verdict = "reached" if figures["memory_mb"] <= MEMORY_GOAL_MB else "MISSED"
    print(f"  memory goal {MEMORY_GOAL_MB} MB: {verdict}")
    for name in (name for name in models if not name.endswith("_second")):
        speed = models[f"{name}_frames_per_second"]
        print(
            f"{name}: {models[name].text('.2f')} of decoding and encoding alone, {speed.text('.1f')} frames/s of 1080p"
        )


if __name__ == "__main__":
    main()
