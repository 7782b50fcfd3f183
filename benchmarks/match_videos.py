"""Videos with known truth: products moved over real backgrounds, seen badly in every way that is named, H.264.

An appearance is one product for some seconds under one set of conditions, drawn at random within the named limits; it
drifts, turns and grows a little meanwhile. Truth is exact, because we put it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from match_pictures import ProductPicture

from reelwork.vision.opencv import Picture, cv2, scaled_by_area

WIDTH, HEIGHT = 1280, 720
RATE = 5
"""Frames a second: as many as keyframes are chosen from."""
SECONDS = 30.0
APPEARANCE_SECONDS = (4.0, 9.0)
GAP_SECONDS = (0.5, 2.5)
SCALE = (0.25, 1.0)
TILT_DEGREES_MAX = 50.0
OCCLUSION_MAX = 0.4
BLUR_PIXELS_MAX = 2.0
GAIN = (0.5, 1.5)
CRF = (23, 34)
CAMERA_DISTANCE = 2.2
"""In longest sides of the product: how strong the perspective of a tilted product is."""
VISIBLE_SHARE_MIN = 0.9


@dataclass(frozen=True)
class Conditions:
    """How an appearance looks; every number within the limits above."""

    scale: float
    turn_degrees: float
    tilt_degrees: float
    tilt_towards_degrees: float
    occlusion: float
    blur_pixels: float
    gain: float
    gradient: float


@dataclass(frozen=True)
class Appearance:
    """A product in a video from `start` to `end` seconds. `known` is False for one that no catalogue holds."""

    product: str
    start: float
    end: float
    known: bool
    conditions: Conditions


@dataclass(frozen=True)
class Truth:
    """What is in a video."""

    video: str
    crf: int
    appearances: tuple[Appearance, ...]


def drawn_conditions(random: np.random.Generator) -> Conditions:
    """Uniform within the limits."""
    return Conditions(
        scale=float(random.uniform(*SCALE)),
        turn_degrees=float(random.uniform(-180, 180) if random.random() < 0.5 else random.uniform(-25, 25)),
        tilt_degrees=float(random.uniform(0, TILT_DEGREES_MAX)),
        tilt_towards_degrees=float(random.uniform(0, 360)),
        occlusion=float(random.uniform(0.05, OCCLUSION_MAX) if random.random() < 0.7 else 0),
        blur_pixels=float(random.uniform(0, BLUR_PIXELS_MAX)),
        gain=float(random.uniform(*GAIN)),
        gradient=float(random.uniform(0, 0.5)),
    )


def plan(
    random: np.random.Generator, video: str, known: Sequence[str], unknown: Sequence[str], seconds: float = SECONDS
) -> Truth:
    """One after another, in the order given: the products of the catalogue, and between them the strangers."""
    names = [(name, True) for name in known] + [(name, False) for name in unknown]
    random.shuffle(names)
    at = float(random.uniform(*GAP_SECONDS))
    appearances = []
    for name, is_known in names:
        lasts = float(random.uniform(*APPEARANCE_SECONDS))
        end = min(at + lasts, seconds)
        if end - at >= APPEARANCE_SECONDS[0] / 2:
            appearances.append(Appearance(name, round(at, 2), round(end, 2), is_known, drawn_conditions(random)))
        at = end + float(random.uniform(*GAP_SECONDS))
    return Truth(video, int(random.integers(CRF[0], CRF[1] + 1)), tuple(appearances))


def write_video(
    path: Path,
    truth: Truth,
    products: dict[str, ProductPicture],
    backgrounds: Sequence[Picture],
    clutter: Sequence[Picture],
    random: np.random.Generator,
    seconds: float = SECONDS,
) -> None:
    """The video as MP4, and its truth beside it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scenes = [Scene(appearance, products[appearance.product], clutter, random) for appearance in truth.appearances]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": str(truth.crf)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, background in enumerate(_camera(backgrounds, round(seconds * RATE), random)):
            now = number / RATE
            for scene in scenes:
                if scene.appearance.start <= now < scene.appearance.end:
                    background = scene.drawn_into(background, now)
            frame = av.VideoFrame.from_ndarray(background, format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.with_suffix(".json").write_text(json.dumps(asdict(truth)))


def truth_of(path: Path) -> Truth:
    """What `write_video` wrote beside the video."""
    given = json.loads(path.with_suffix(".json").read_text())
    appearances = (
        Appearance(**{**appearance, "conditions": Conditions(**appearance["conditions"])})
        for appearance in given["appearances"]
    )
    return Truth(given["video"], given["crf"], tuple(appearances))


class Scene:
    """One appearance, with what hides a part of it."""

    def __init__(
        self, appearance: Appearance, product: ProductPicture, clutter: Sequence[Picture], random: np.random.Generator
    ) -> None:
        self.appearance = appearance
        conditions = appearance.conditions
        picture = product.picture.astype(np.float32)
        width = picture.shape[1]
        ramp = np.linspace(1 - conditions.gradient, 1 + conditions.gradient, width, dtype=np.float32)[None, :, None]
        self._picture = np.clip(picture * conditions.gain * ramp, 0, 255).astype(np.uint8)
        self._alpha = product.alpha.astype(np.uint8) * 255
        if conditions.occlusion > 0:
            self._picture, self._alpha = _hidden(self._picture, self._alpha, conditions.occlusion, clutter, random)
        self._drift = random.uniform(-60, 60, 2)
        self._turn = random.uniform(-8, 8)
        self._grow = random.uniform(-0.1, 0.1)
        self._middle = self._place(random)

    def drawn_into(self, frame: Picture, now: float) -> Picture:
        """A new frame with the product in it."""
        conditions = self.appearance.conditions
        matrix = self._matrix((now - self.appearance.start) / (self.appearance.end - self.appearance.start))
        shrinks = conditions.scale < 0.7
        picture, alpha = self._picture, self._alpha
        if shrinks:  # by area first, or the warp would alias
            height, width = picture.shape[:2]
            factor = min(1.0, conditions.scale * 1.2)
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            picture, alpha = scaled_by_area(picture, *size), scaled_by_area(alpha, *size)
            matrix = matrix @ np.diag([width / size[0], height / size[1], 1])
        warped = cv2.warpPerspective(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        share = cv2.warpPerspective(alpha, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        x, y, w, h = cv2.boundingRect(share)
        margin = 8
        window = (slice(max(0, y - margin), y + h + margin), slice(max(0, x - margin), x + w + margin))
        part = share[window][..., None].astype(np.float32) / 255
        mixed = frame[window] * (1 - part) + warped[window] * part
        if conditions.blur_pixels > 0.3:
            mixed = cv2.GaussianBlur(mixed, (0, 0), conditions.blur_pixels)
        made = frame.copy()
        made[window] = np.clip(mixed, 0, 255).astype(np.uint8)
        return made

    def outline(self, now: float) -> np.ndarray:
        """(4, 2) corners of the product's picture in the frame."""
        height, width = self._picture.shape[:2]
        age = (now - self.appearance.start) / (self.appearance.end - self.appearance.start)
        return _moved(self._matrix(age), np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64))

    def _place(self, random: np.random.Generator) -> np.ndarray:
        """A place from which hardly anything of the product leaves the frame."""
        middle = np.array([WIDTH / 2, HEIGHT / 2])
        for _ in range(60):
            self._middle = random.uniform((WIDTH * 0.15, HEIGHT * 0.2), (WIDTH * 0.85, HEIGHT * 0.8))
            if all(self._share_inside(age) >= VISIBLE_SHARE_MIN for age in (0.0, 0.5, 1.0)):
                return self._middle
        self._drift = self._drift * 0
        return middle

    def _share_inside(self, age: float) -> float:
        height, width = self._picture.shape[:2]
        grid = np.stack(np.meshgrid(np.linspace(0, width, 12), np.linspace(0, height, 12)), -1).reshape(-1, 2)
        points = _moved(self._matrix(age), grid)
        return float(((points >= 0) & (points < (WIDTH, HEIGHT))).all(1).mean())

    def _matrix(self, age: float) -> np.ndarray:
        """Product picture to frame, 3 x 3: a pinhole camera before the tilted product."""
        conditions = self.appearance.conditions
        height, width = self._picture.shape[:2]
        distance = CAMERA_DISTANCE * max(width, height)
        turn = np.deg2rad(conditions.turn_degrees + self._turn * (age - 0.5))
        tilt, towards = np.deg2rad(conditions.tilt_degrees), np.deg2rad(conditions.tilt_towards_degrees)
        axis = np.array([np.cos(towards), np.sin(towards), 0]) * tilt
        rotation = cv2.Rodrigues(axis)[0] @ cv2.Rodrigues(np.array([0, 0, turn]))[0]
        scale = conditions.scale * (1 + self._grow * (age - 0.5))
        centre = self._middle + self._drift * (age - 0.5)
        camera = np.array([[distance * scale, 0, centre[0]], [0, distance * scale, centre[1]], [0, 0, 1]])
        placed = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, distance]])
        return camera @ placed @ np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])


def _hidden(
    picture: Picture, alpha: np.ndarray, fraction: float, clutter: Sequence[Picture], random: np.random.Generator
) -> tuple[Picture, np.ndarray]:
    """Something else lies over this fraction of the product: a strip from one side, a real picture."""
    height, width = picture.shape[:2]
    thing = clutter[int(random.integers(len(clutter)))]
    covering = scaled_by_area(thing, width, height)
    direction = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width]
    along = x * np.cos(direction) + y * np.sin(direction)
    border = np.quantile(along[alpha > 0], fraction)
    over = (along <= border) & (alpha > 0)
    made = picture.copy()
    made[over] = covering[over]
    return made, alpha


def _camera(backgrounds: Sequence[Picture], frames: int, random: np.random.Generator) -> Iterator[Picture]:
    """Some backgrounds one after another, with cuts; the camera pans and zooms over each."""
    shots = max(1, round(frames / RATE / 8))
    chosen = random.choice(len(backgrounds), shots, replace=shots > len(backgrounds))
    for shot, which in enumerate(chosen):
        picture = backgrounds[int(which)]
        given_height, given_width = picture.shape[:2]
        start, end = random.uniform(0, 1, 2), random.uniform(0, 1, 2)
        zoom = random.uniform(0.75, 0.95, 2)
        count = frames * (shot + 1) // shots - frames * shot // shots
        widest = min(given_width, given_height * WIDTH / HEIGHT)
        for number in range(count):
            age = number / max(1, count - 1)
            side = widest * (zoom[0] + (zoom[1] - zoom[0]) * age)
            free = np.array([given_width - side, given_height - side * HEIGHT / WIDTH])
            corner = free * (start + (end - start) * age * 0.4)
            factor = WIDTH / side
            matrix = np.array([[factor, 0, -corner[0] * factor], [0, factor, -corner[1] * factor]])
            yield np.asarray(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA), np.uint8)


def _moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return moved[:, :2] / moved[:, 2:]
