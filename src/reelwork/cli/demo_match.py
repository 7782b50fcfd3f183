"""The second part of the demo: real pictures, moved over a real clip, are to be found in it again, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from reelwork.vision.opencv import Picture, cv2

if TYPE_CHECKING:
    from reelwork.cli.embedded_match import FinishedMatch

CLIP_FRAMES: Final = 250
PLACED_SIDE: Final = 170
CRF: Final = "23"


@dataclass(frozen=True, slots=True)
class Placed:
    """A product that is seen in some frames of a clip, moving and turning. path: from, to; fractions of the frame."""

    product: str
    first_frame: int
    last_frame: int
    path: tuple[tuple[float, float], tuple[float, float]]
    turn_degrees: float
    shear: float


SCENES: Final[dict[str, tuple[Placed, ...]]] = {
    "two-posters": (
        Placed("coffee", 30, 140, ((0.2, 0.35), (0.45, 0.55)), 20, 0.15),
        Placed("cat", 100, 220, ((0.8, 0.5), (0.6, 0.4)), -15, -0.1),
    ),
    "one-poster": (Placed("cat", 60, 190, ((0.25, 0.6), (0.7, 0.4)), 30, 0.2),),
    "street": (),
}
PRODUCTS: Final = ("coffee", "cat", "astronaut")
"""Names of samples; nobody ever sees the astronaut."""


def write_shelf(folder: Path, clip: Path, samples: dict[str, Path]) -> tuple[Path, Path]:
    """Product pictures and videos to find them in: two folders."""
    products, videos = folder / "products", folder / "videos"
    for made in (products, videos):
        made.mkdir(parents=True, exist_ok=True)
    pictures = {name: _read(samples[name]) for name in PRODUCTS}
    for name, picture in pictures.items():
        cv2.imwrite(str(products / f"{name}.png"), picture)
    for name, placed in SCENES.items():
        _write_video(videos / f"{name}.mp4", clip, placed, pictures)
    return products, videos


def compare(finished: FinishedMatch) -> list[str]:
    """What was found, beside what is known to be there; a sentence for each surprise."""
    truth = {(placed.product, video) for video, scene in SCENES.items() for placed in scene}
    found = {(result["product"], result["video"]) for result in finished.results}
    sentences = [f"{len(found & truth)} of the {len(truth)} products that were placed in a video were found in it."]
    sentences += [f"Missed: {product} in {video}." for product, video in sorted(truth - found)]
    sentences += [
        f"Not there, and found all the same: {product} in {video}." for product, video in sorted(found - truth)
    ]
    return sentences


def _read(path: Path) -> Picture:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def _write_video(path: Path, clip: Path, scene: Sequence[Placed], pictures: dict[str, Picture]) -> None:
    with av.open(str(clip)) as given, av.open(str(path), "w") as made:
        source = given.streams.video[0]
        stream = made.add_stream("libx264", rate=source.average_rate)
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        stream.options = {"crf": CRF, "preset": "veryfast"}
        for number, frame in enumerate(_frames(given)):
            for placed in scene:
                if placed.first_frame <= number <= placed.last_frame:
                    _place(frame, pictures[placed.product], placed, number)
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        made.mux(stream.encode(None))


def _frames(given: Any) -> Iterator[Picture]:
    for number, frame in enumerate(given.decode(video=0)):
        if number == CLIP_FRAMES:
            return
        yield np.ascontiguousarray(frame.to_ndarray(format="bgr24"))


def _place(frame: Picture, picture: Picture, placed: Placed, number: int) -> None:
    """Draws the picture into the frame, as a poster that somebody carries through it."""
    height, width = picture.shape[:2]
    progress = (number - placed.first_frame) / (placed.last_frame - placed.first_frame)
    scale = PLACED_SIDE / max(height, width)
    angle = np.deg2rad(placed.turn_degrees * (progress - 0.5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5) * (width, height) * scale
    corners[:, 1] *= 1 + placed.shear * corners[:, 0] / PLACED_SIDE  # one side is nearer
    start, end = (np.array(point) * (frame.shape[1], frame.shape[0]) for point in placed.path)
    target = (corners @ turn.T + start + (end - start) * progress).astype(np.float32)
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    homography = cv2.getPerspectiveTransform(source, target)
    size = (frame.shape[1], frame.shape[0])
    warped = cv2.warpPerspective(picture, homography, size, flags=cv2.INTER_AREA)
    covered = cv2.warpPerspective(np.full((height, width), 255, np.uint8), homography, size) > 127
    frame[covered] = warped[covered]
