"""Fits the weights of src/reelwork/pipelines/match/matching/score.py on the calibration set, and prints them.

    python benchmarks/match_calibration.py                     # about half an hour on two cores
    python benchmarks/match_calibration.py --products DIR --backgrounds DIR    # on your own pictures

Three logistic models: of a frame, by what verification found there, and by its pixels too where keypoints had not
decided; of a video, by its frames. Products are looked for in three ways: all of them, as in a job; all that the video
does not show, so that what it shows are strangers; and alone, as in a job of one product, where nobody knows what it
shares with its siblings. SCORE_MINIMUM must be one from which on 0.99 of what is claimed in the first two ways is true.
The figures printed with the weights are of rows that the weights have not seen: the products are parted into folds.
They are no test all the same, because whoever changes the finder has looked at them; see match_accuracy.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from match_accuracy import GOAL_PRECISION, catalogue_of, options_of, over_set, runs_of, textured_products
from match_figures import NEAR_SECONDS, Claim, Share, precision, reliability
from match_logistic import Floats, Logistic, fit
from match_runs import Run, seen_in, tools_of, truths_of
from match_videos import Truth

from reelwork.pipelines.match.matching import Catalogue
from reelwork.pipelines.match.matching.finder import sightings_both_ways
from reelwork.pipelines.match.matching.score import CLOSE_SENSES, SENSES, close_traits, traits, video_traits
from reelwork.pipelines.match.matching.sighting import Sighting

Way = Literal["all", "strangers", "alone"]
WAYS: dict[Way, str] = {
    "all": "with all others",
    "strangers": "only what the video does not show",
    "alone": "alone",
}
SEEDS = 2
FOLDS = 5
SIBLINGS_EACH, OTHERS_EACH = 4, 1
"""Products that are looked for alone in each video beside those that it shows."""
FEW_FRAMES = (1, 1, 1, 2, 2, 3)
"""Every appearance of the set lasts some seconds. So that a product shown for one frame is judged as well, the model of
a video sees each also by so many frames, drawn by chance."""
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Row:
    """A product sighted in a frame: `is_true` when it is there at that time."""

    product: str
    video: str
    way: Way
    ts: float
    is_true: bool
    traits: tuple[float, ...]
    close: tuple[float, ...] | None
    """What pixels said; None where nobody asked them."""


@dataclass(frozen=True)
class Rows:
    """All sightings in a video, in every way. by_keypoints: as if there were no pixels to look at."""

    by_keypoints: list[Row]
    closely: list[Row]


def rows_of(run: Run, truth: Truth) -> Rows:
    seen, catalogue = seen_in(run, truth), catalogue_of(run)
    frames = sorted(seen.video.frames, key=lambda frame: frame.ts)
    by_keypoints: list[Row] = []
    closely: list[Row] = []
    for searched, way in _ways(run, truth, catalogue):
        for found, looked in sightings_both_ways(searched, frames):
            by_keypoints += [_row(one, searched, run, truth, way) for one in found]
            closely += [_row(one, searched, run, truth, way) for one in looked]
    return Rows(by_keypoints, closely)


def _ways(run: Run, truth: Truth, catalogue: Catalogue) -> Iterator[tuple[Catalogue, Way]]:
    yield catalogue, "all"
    shown = {one.product for one in truth.appearances if one.known}
    if 0 < len(shown) < len(catalogue.products):
        yield Catalogue([one for one in catalogue.products if one.product_id not in shown]), "strangers"
    for number in _near(run, truth):
        yield Catalogue([catalogue.products[number]]), "alone"


def _row(sighting: Sighting, searched: Catalogue, run: Run, truth: Truth, way: Way) -> Row:
    product = searched.products[sighting.entry.product].product_id
    evidence = sighting.verification.evidence
    return Row(
        product=product,
        video=f"{truth.video} of seed {run.seed}",
        way=way,
        ts=sighting.frame.ts,
        is_true=is_there(truth, product, sighting.frame.ts),
        traits=traits(evidence),
        close=None if sighting.resemblance is None else close_traits(evidence, sighting.resemblance),
    )


def is_there(truth: Truth, product: str, ts: float) -> bool:
    """Whether the product is shown at that time, or nearly."""
    return any(
        one.known and one.product == product and one.start - NEAR_SECONDS <= ts <= one.end + NEAR_SECONDS
        for one in truth.appearances
    )


def _near(run: Run, truth: Truth) -> list[int]:
    """Numbers of the products that are in a video, and of some that look like one that is, and of some others."""
    pictures = tools_of(run).pictures
    shown = {one.product for one in truth.appearances}
    families = {pictures.by_name[name].family for name in shown}
    numbers = np.random.default_rng(zlib.crc32(truth.video.encode())).permutation(len(pictures.products)).tolist()
    strange = [n for n in numbers if pictures.products[n].name not in shown]
    siblings = [n for n in strange if pictures.products[n].family in families][:SIBLINGS_EACH]
    others = [n for n in strange if pictures.products[n].family not in families][:OTHERS_EACH]
    return [n for n in numbers if pictures.products[n].name in shown] + siblings + others


def fit_frames(rows: Rows) -> tuple[Logistic, Logistic]:
    """By keypoints, and by pixels too."""
    close = [row for row in rows.closely if row.close is not None]
    by_pixels = np.array([row.close for row in close], np.float64)
    return _fitted(rows.by_keypoints, _traits(rows.by_keypoints), SENSES), _fitted(close, by_pixels, CLOSE_SENSES)


def _fitted(rows: list[Row], given: Floats, senses: Sequence[int]) -> Logistic:
    return fit(given, np.array([row.is_true for row in rows]), _importance(rows), senses)


def _importance(rows: Sequence[Row] | Sequence[VideoRow]) -> Floats:
    """(n,): products that are looked for alone count as much as all others together."""
    alone = np.array([row.way == "alone" for row in rows])
    return np.where(alone, 0.5 / max(1, alone.sum()), 0.5 / max(1, (~alone).sum()))


def logits_of(rows: list[Row], models: tuple[Logistic, Logistic]) -> Floats:
    """(n,): of each row, by the model that is for it."""
    by_keypoints, by_pixels = models
    return np.array(
        [
            float(
                by_keypoints.logits(np.array([row.traits]))[0]
                if row.close is None
                else by_pixels.logits(np.array([row.close]))[0]
            )
            for row in rows
        ]
    )


def unseen_logits(rows: Rows) -> Floats:
    """(n,): of each row that was looked at closely, by models that have seen no row of its product."""
    fold = np.array([_fold(row) for row in rows.closely])
    logits = np.empty(len(fold))
    for number in range(FOLDS):
        others = Rows(
            [row for row in rows.by_keypoints if _fold(row) != number],
            [row for row in rows.closely if _fold(row) != number],
        )
        mine = [row for row in rows.closely if _fold(row) == number]
        logits[fold == number] = logits_of(mine, fit_frames(others))
    return logits


def _fold(row: Row) -> int:
    return zlib.crc32(row.product.encode()) % FOLDS


@dataclass(frozen=True)
class VideoRow:
    """All sightings of a product in a video, in one way; `is_true` when the best of them is."""

    product: str
    video: str
    way: Way
    is_true: bool
    traits: tuple[float, float]


def video_rows(rows: list[Row], logits: Floats, *, few: bool = False) -> list[VideoRow]:
    """One row for each product, video and way, by all frames in which it was sighted; or several, by few of them."""
    grouped: defaultdict[tuple[str, str, Way], list[tuple[float, bool]]] = defaultdict(list)
    for row, logit in zip(rows, logits, strict=True):
        grouped[row.product, row.video, row.way].append((float(logit), row.is_true))
    random = np.random.default_rng(0)
    made = []
    for key, found in grouped.items():
        for count in FEW_FRAMES if few else (len(found),):
            chosen = [found[n] for n in random.permutation(len(found))[:count]]
            made.append(VideoRow(*key, max(chosen)[1], video_traits([logit for logit, _ in chosen])))
    return made


def fit_videos(rows: list[VideoRow]) -> Logistic:
    given = np.array([row.traits for row in rows])
    return fit(given, np.array([row.is_true for row in rows]), _importance(rows), (1, 1))


def _traits(rows: list[Row]) -> Floats:
    return np.array([row.traits for row in rows], np.float64)


def _constants(frames: tuple[Logistic, Logistic], videos: Logistic) -> str:
    by_keypoints, by_pixels = frames

    def numbers(values: Floats) -> str:
        return f"({', '.join(f'{value:.4f}'.rstrip('0').rstrip('.') if value else '0.0' for value in values)})"

    return (
        f"FRAME_WEIGHTS: Final = {numbers(by_keypoints.weights)}\nFRAME_BIAS: Final = {by_keypoints.bias:.4f}\n"
        f"CLOSE_WEIGHTS: Final = {numbers(by_pixels.weights)}\nCLOSE_BIAS: Final = {by_pixels.bias:.4f}\n"
        f"VIDEO_WEIGHTS: Final = {numbers(videos.weights)}\nVIDEO_BIAS: Final = {videos.bias:.4f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options = options_of(parser, seeds=SEEDS)
    runs = runs_of(options, "calibration")
    try:
        truths = [(run, truth) for run in runs for truth in truths_of(run)]
    except ValueError as error:
        parser.error(str(error))
    textured = textured_products(runs[0])
    found = [one for run in runs for one in over_set(rows_of, run)]
    rows = Rows([row for one in found for row in one.by_keypoints], [row for one in found for row in one.closely])
    print("fitting without each fold", file=sys.stderr)
    logits = unseen_logits(rows)
    videos = video_rows(rows.closely, logits)
    model = fit_videos(videos + video_rows(rows.closely, logits, few=True))
    expected = sum(one.known and one.product in textured for _, truth in truths for one in truth.appearances)
    print(f"{len(truths)} videos, {len(textured)} textured products, {expected} appearances of them")
    for part, way in ((rows.by_keypoints, "by keypoints"), (rows.closely, "by pixels too")):
        print(f"{len(part)} sightings {way}, {sum(row.is_true for row in part)} of them true")
    scores = 1 / (1 + np.exp(-model.logits(np.array([row.traits for row in videos]))))
    claims: dict[Way, list[Claim]] = {way: [] for way in WAYS}
    for row, score in zip(videos, scores, strict=True):
        if row.product in textured:
            claims[row.way].append(Claim(row.product, row.video, float(score), row.is_true, None, None))
    _print_claims(claims, expected)
    print(f"\nprecision of {GOAL_PRECISION}: {_held_from([*claims['all'], *claims['strangers']])}")
    print(f"\n{_constants(fit_frames(rows), model)}")
    return 0


def _print_claims(claims: dict[Way, list[Claim]], expected: int) -> None:
    for way, name in WAYS.items():
        print(f"\n{name}, weights fitted on other products\n\n| threshold | precision | recall |\n|---|---|---|")
        for threshold in THRESHOLDS:
            made = [claim for claim in claims[way] if claim.score >= threshold]
            right = sum(claim.is_true for claim in made)
            recall = Share(right, 0 if way == "strangers" else expected)
            print(f"| {threshold:g} | {Share(right, len(made)).text()} | {recall.text()} |")
        print("\n| said | mean | was true |\n|---|---|---|")
        for low, high, mean, share in reliability(claims[way]):
            print(f"| {low:g} to {high:g} | {mean:.3f} | {share.text()} |")


def _held_from(claims: Sequence[Claim]) -> str:
    """From which of THRESHOLDS on, at each, so many of the claims are true as is the goal."""
    missed = [number for number, at in enumerate(THRESHOLDS) if precision(claims, at).value < GOAL_PRECISION]
    first = missed[-1] + 1 if missed else 0
    return f"from {THRESHOLDS[first]:g} on" if first < len(THRESHOLDS) else "at none of the thresholds"


if __name__ == "__main__":
    sys.exit(main())
