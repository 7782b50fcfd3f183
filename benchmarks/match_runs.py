"""Takes the videos of a set through the real parts of the match pipeline: keyframes, JPEG, embedding, keypoints.

What is made (videos, truth, features) is kept by its version, so a look at other scores costs only the matching.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from match_sets import SECONDS, Folders, Pictures, SetName, pictures_of, plans
from match_videos import Truth, write_video

from reelwork.pipelines.match.cut_out import cut_out
from reelwork.pipelines.match.matching import FrameFeatures, ImageFeatures, ProductFeatures, VideoFeatures
from reelwork.pipelines.match.matching.resemblance import VERSION as RESEMBLANCE_VERSION
from reelwork.pipelines.match.matching.resemblance import Template
from reelwork.pipelines.match.product_mask import VERSION as MASKS_VERSION
from reelwork.pipelines.match.product_mask import clear_detector, product_mask
from reelwork.pipelines.match.videos.keyframes import SAMPLING_VERSION, keyframes_of
from reelwork.vision.embedder import Embedder, load_embedder
from reelwork.vision.keypoints import KeypointDetector
from reelwork.vision.masks import ForegroundMasks
from reelwork.vision.opencv import Picture, cv2
from reelwork.vision.safe_image import decode_image

REVISION = 2
"""Raised whenever the same seed would give other videos."""
JPEG_QUALITY = 92
"""As the crawler stores frames."""

Masks = Literal["off", "products"]
Given, Made = TypeVar("Given"), TypeVar("Made")


@dataclass(frozen=True)
class Run:
    """All that decides which features come out. `data` is the folder in which they are kept."""

    set_name: SetName
    seed: int
    masks: Masks
    data: Path
    pictures: Path
    folders: Folders | None = None
    videos_max: int | None = None
    processes: int = 2


@dataclass(frozen=True, eq=False)
class Seen:
    """A video of a set as the matcher gets it; `ms` is what each step took over all its frames."""

    truth: Truth
    video: VideoFeatures
    ms: dict[str, float]


@dataclass(frozen=True, eq=False)
class Tools:
    """What a process holds."""

    pictures: Pictures
    embedder: Embedder
    detector: KeypointDetector
    folder: Path


@lru_cache(1)
def tools_of(run: Run) -> Tools:
    """Made once in each process."""
    embedder, detector = load_embedder(), KeypointDetector()
    pictures = pictures_of(run.set_name, run.pictures, run.folders)
    version = repr((REVISION, SAMPLING_VERSION, JPEG_QUALITY, embedder.model, detector.model, run.seed, run.folders))
    names = [(one.name, one.picture.shape) for one in (*pictures.products, *pictures.strangers)]
    digest = hashlib.sha256((version + repr(names)).encode()).hexdigest()[:12]
    return Tools(pictures, embedder, detector, run.data / f"{run.set_name}-{digest}")


def truths_of(run: Run) -> list[Truth]:
    return plans(run.set_name, run.seed, tools_of(run).pictures, videos_max=run.videos_max)


def video_of(run: Run, truth: Truth) -> Path:
    """Where the video lies, once it was seen."""
    return tools_of(run).folder / f"{truth.video}.mp4"


def seen_in(run: Run, truth: Truth) -> Seen:
    """The video, built where it is not there yet, through all steps."""
    tools = tools_of(run)
    path = tools.folder / f"{truth.video}.mp4"
    seen: Seen = _kept(path.with_suffix(".features"), lambda: _look(run, truth, path, tools))
    frames = [replace(frame, picture=partial(_picture, path, frame.frame_id)) for frame in seen.video.frames]
    return replace(seen, video=replace(seen.video, frames=frames))


@lru_cache(1)
def _stored_frames(path: Path) -> dict[str, bytes]:
    """The keyframes of a video as the crawler stores them."""
    made = _kept(path.with_suffix(".frames"), lambda: {one.frame_id: _jpeg(one.image) for one in keyframes_of(path)})
    return dict(made)


def _picture(path: Path, frame_id: str) -> Picture:
    return decode_image(_stored_frames(path)[frame_id])


def products_of(run: Run) -> list[ProductFeatures]:
    """The products of the catalogue, one picture each."""
    templates = _templates_of(run)
    return [
        replace(product, images=[replace(product.images[0], template=partial(templates.__getitem__, number))])
        for number, product in enumerate(_described_products_of(run))
    ]


def _templates_of(run: Run) -> list[Template]:
    tools = tools_of(run)
    name = f"templates-{RESEMBLANCE_VERSION}-{run.masks}.features"

    def make() -> list[Template]:
        masks = ForegroundMasks() if run.masks == "products" else None
        received = [decode_image(_jpeg(one.picture)) for one in tools.pictures.products]
        found = [_mask_of(picture, masks) for picture in received]
        return [
            Template.of(picture, np.ones(picture.shape[:2], np.bool_) if mask is None else mask)
            for picture, mask in zip(received, found, strict=True)
        ]

    made: list[Template] = _kept(tools.folder / name, make)
    return made


def _described_products_of(run: Run) -> list[ProductFeatures]:
    tools = tools_of(run)
    masks = ForegroundMasks() if run.masks == "products" else None
    name = "products" if masks is None else f"products-{MASKS_VERSION}-{masks.method}"
    return _kept(
        tools.folder / f"{name}.features",
        lambda: [
            ProductFeatures(one.name, [_image_features(one.picture, tools, masks)]) for one in tools.pictures.products
        ],
    )


def in_parallel(work: Callable[[Run, Given], Made], run: Run, given: Sequence[Given], step: str) -> list[Made]:
    """`work` of each, in `run.processes` processes, in order; progress on stderr. `work` is a function of a module."""
    with ProcessPoolExecutor(run.processes, mp_context=get_context("spawn")) as processes:
        futures = [processes.submit(work, run, one) for one in given]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            print(f"\r{step}: {done} of {len(given)} ", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return [future.result() for future in futures]


def _look(run: Run, truth: Truth, path: Path, tools: Tools) -> Seen:
    if not path.exists():
        _build(run, truth, path, tools.pictures)
    ms: defaultdict[str, float] = defaultdict(float)
    frames = []
    for keyframe in _timed(keyframes_of(path), ms, "decode and choose"):
        with _stopwatch(ms, "store as JPEG"):
            data = _jpeg(keyframe.image)
        with _stopwatch(ms, "read JPEG"):
            picture = decode_image(data)
        with _stopwatch(ms, "embedding"):
            embedding = tools.embedder.embed([picture])[0]
        with _stopwatch(ms, "keypoints"):
            keypoints = tools.detector.detect(picture)
        frames.append(FrameFeatures(keyframe.frame_id, keyframe.ts, embedding, keypoints))
    return Seen(truth, VideoFeatures(truth.video, frames), dict(ms))


def _build(run: Run, truth: Truth, path: Path, pictures: Pictures) -> None:
    random = np.random.default_rng([run.seed, *truth.video.encode()])
    partial = path.with_suffix(".partial.mp4")
    write_video(partial, truth, pictures.by_name, pictures.backgrounds, pictures.clutter, random, SECONDS)
    partial.with_suffix(".json").rename(path.with_suffix(".json"))
    partial.rename(path)


def _image_features(picture: Picture, tools: Tools, masks: ForegroundMasks | None) -> ImageFeatures:
    """As the services make them."""
    received = decode_image(_jpeg(picture))
    mask = _mask_of(received, masks)
    return ImageFeatures("0", tools.embedder.embed([cut_out(received, mask)])[0], tools.detector.detect(received, mask))


def _mask_of(received: Picture, masks: ForegroundMasks | None) -> npt.NDArray[np.bool_] | None:
    return None if masks is None else product_mask(received, masks, clear_detector()).mask


def _jpeg(picture: Picture) -> bytes:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)


def _kept(path: Path, make: Callable[[], Any]) -> Any:
    if path.exists():
        return pickle.loads(path.read_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    made = make()
    partial = path.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(made))
    partial.rename(path)
    return made


@contextmanager
def _stopwatch(ms: dict[str, float], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    ms[step] += (time.perf_counter() - began) * 1000


def _timed(items: Iterable[Made], ms: dict[str, float], step: str) -> Iterator[Made]:
    iterator = iter(items)
    while True:
        with _stopwatch(ms, step):
            item = next(iterator, None)
        if item is None:
            return
        yield item
