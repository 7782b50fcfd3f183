"""Measures what the match pipeline's models cost: processor time per picture of two sizes, and the memory of a process
that holds one of them. One core, one thread; every model in a process of its own; medians of alternated runs."""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reelwork.vision import pull_model, pull_sample

Picture = npt.NDArray[np.uint8]
SIZES = {"640 x 427 picture": (640, 427), "1920 x 1080 frame": (1920, 1080)}
PARTS = ("decode a JPEG", "embedding", "keypoints", "mask, U2-Net-p", "mask, GrabCut")
ROUNDS = 9


def workload(part: str) -> Callable[[Picture], object]:
    """What is measured, of a picture; imports only what a worker of this part imports."""
    match part:
        case "decode a JPEG":
            from reelwork.vision.opencv import cv2
            from reelwork.vision.safe_image import decode_image

            files: dict[int, bytes] = {}

            def decode(picture: Picture) -> object:
                data = files.get(id(picture)) or files.setdefault(
                    id(picture), cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
                )
                return decode_image(data)

            return decode
        case "embedding":
            from reelwork.vision.embedder import load_embedder

            embedder = load_embedder()
            return lambda picture: embedder.embed([picture])
        case "keypoints":
            from reelwork.vision.keypoints import KeypointDetector

            return KeypointDetector().detect
        case "mask, U2-Net-p":
            from reelwork.vision.masks import ForegroundMasks

            return ForegroundMasks().segment
        case "mask, GrabCut":
            from reelwork.vision.subjects import GrabCut

            return GrabCut().likelihood
    raise ValueError(part)


def measure(part: str) -> None:
    """One process: prints a row of the table."""
    from reelwork.vision.opencv import cv2
    from reelwork.vision.safe_image import decode_image

    scene = decode_image(pull_sample("coffee").read_bytes())
    pictures = {name: np.asarray(cv2.resize(scene, size), np.uint8) for name, size in SIZES.items()}
    began = time.perf_counter()
    run = workload(part)
    ready_ms = (time.perf_counter() - began) * 1000
    for picture in pictures.values():
        run(picture)
    took_ms: dict[str, list[float]] = {name: [] for name in SIZES}
    for _ in range(ROUNDS):
        for name, picture in pictures.items():
            began = time.process_time()
            run(picture)
            took_ms[name].append((time.process_time() - began) * 1000)
    cells = [f"{statistics.median(ms):.1f} ({min(ms):.1f} to {max(ms):.1f})" for ms in took_ms.values()]
    print(f"| {part} | {' | '.join(cells)} | {ready_ms:.0f} | {memory_mib():.0f} |", flush=True)


def memory_mib() -> float:
    """The most that this process ever held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="measure this one, in this process")
    part = parser.parse_args().part
    if part is not None:
        measure(part)
        return
    for model in ("efficientnet-lite0", "u2netp", "efficientdet-lite0"):
        pull_model(model)
    print(f"| ms of processor time | {' | '.join(SIZES)} | ms to load | MiB of memory, peak |")
    print("|---|---|---|---|---|", flush=True)
    for one in PARTS:
        subprocess.run([sys.executable, __file__, "--part", one], check=True)


if __name__ == "__main__":
    main()
