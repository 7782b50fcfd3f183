"""Measures what it costs to make catalogues ready for matching: processor time and memory of one process, one thread.

Descriptors are drawn, not seen: five products share a part, and all else is each one's own.
`--compared N` compares each picture with so many others; as many as there are pictures is what was done before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

import numpy as np
from vision import memory_mib

from reelwork.pipelines.match.matching import Catalogue, ImageFeatures, ProductFeatures
from reelwork.pipelines.match.matching.shared import COMPARED_MAX, distinctive_marks
from reelwork.vision.keypoints import KIND, Keypoints

SIZES = (50, 200, 1_000)
KEYPOINTS, SHARED, SIBLINGS = 1_000, 120, 5
WIDTH, HEIGHT = 480, 640
NOISE = 0.03


def drawn_keypoints(number: int) -> Keypoints:
    """The shared part lies at the same place in all of a brand, a little blurred."""
    own, brand = np.random.default_rng(number), np.random.default_rng(1_000_000 + number // SIBLINGS)
    parts = []
    for random, count, height in ((brand, SHARED, 70), (own, KEYPOINTS - SHARED, HEIGHT)):
        points = random.uniform((0, 0), (WIDTH, height), (count, 2))
        scales, angles = random.gamma(2, 2, count) + 1.5, random.uniform(0, 360, count)
        parts.append((points, scales, angles, random.gamma(0.6, 1, (count, 128))))
    points, scales, angles, descriptors = (np.concatenate(part).astype(np.float32) for part in zip(*parts, strict=True))
    descriptors = np.sqrt(descriptors / descriptors.sum(axis=1, keepdims=True))
    descriptors = np.abs(descriptors + own.normal(0, NOISE, descriptors.shape)).astype(np.float32)
    stored = np.clip(descriptors * 512, 0, 255).astype(np.uint8)
    return Keypoints(points, scales, angles, stored, KIND, WIDTH, HEIGHT)


def measure(pictures: int, compared: int | None) -> None:
    """One process: prints a row of the table."""
    products = [
        ProductFeatures(f"{number}", [ImageFeatures(f"{number}", np.ones(3, np.float32), drawn_keypoints(number))])
        for number in range(pictures)
    ]
    before = memory_mib()
    began = time.process_time()
    catalogue = Catalogue(products, marks=[np.ones(KEYPOINTS, np.bool_)] * pictures)
    ready = time.process_time() - began
    described, owners = [entry.described for entry in catalogue.entries], list(range(pictures))
    began = time.process_time()
    marks = distinctive_marks(described, owners, compared_max=COMPARED_MAX if compared is None else compared)
    took = time.process_time() - began
    marked = sum(int((~one[:SHARED]).sum()) for one in marks) / (pictures * SHARED)
    print(
        f"| {pictures} | {'' if compared is None else compared} | {took:.1f} | {took / pictures * 1000:.0f} "
        f"| {ready:.1f} | {marked:.2f} | {memory_mib() - before:.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=int, nargs="*", default=SIZES)
    parser.add_argument("--compared", type=int, help="pictures that each is compared with")
    parser.add_argument("--here", action="store_true", help="measure the first number of pictures in this process")
    options = parser.parse_args()
    if options.here:
        measure(options.pictures[0], options.compared)
        return
    print(
        "| pictures | compared with | s to compare them | ms each | s without | of what is shared, found | MiB more |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    compared = [] if options.compared is None else ["--compared", str(options.compared)]
    for number in options.pictures:
        subprocess.run([sys.executable, __file__, str(number), "--here", *compared], check=True, env=environment)


if __name__ == "__main__":
    main()
