"""How often `match` is right: precision, recall and spans on videos of which every appearance is known.

    python benchmarks/match_accuracy.py                        # the test set; about ten minutes on two cores
    python benchmarks/match_accuracy.py --quick                # six videos: a look, no figures
    python benchmarks/match_accuracy.py --products DIR --backgrounds DIR    # your own pictures

Products are drawn over photographs: at scale 0.25 to 1, turned, tilted to 50 degrees, up to 40 % hidden, blurred, too
dark or too bright, in H.264 videos of CRF 23 to 34. Boxes of one brand look alike; strangers of the same brands, which
no catalogue holds, are shown as well, and some videos show no product at all. Then the pipeline's own parts do their
work: keyframes, JPEG, embedding, keypoints, and the matcher with all products at once.

A product counts as found when it is named for a video that shows it, and its best pair lies within the appearance.
Scores are fitted on another set, by match_calibration.py; the sets share no product, brand, background or seed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from match_curve import draw_curve
from match_figures import (
    Claim,
    Expected,
    Share,
    claims_of,
    curve,
    expected_of,
    mean_overlap,
    precision,
    recall,
    recall_by_condition,
    reliability,
)
from match_pictures import BRANDS, ProductPicture
from match_runs import Made, Masks, Run, in_parallel, products_of, seen_in, tools_of, truths_of
from match_sets import SET_NAMES, Folders
from match_videos import Truth
from measuring import CACHE, where, where_in_words

from reelwork.pipelines.match.matching import SCORE_MINIMUM, Catalogue
from reelwork.pipelines.match.matching.finder import find_matches_in_video
from reelwork.pipelines.match.matching.score import TEXTURE_KEYPOINTS_MIN
from reelwork.vision import pull_model
from reelwork.vision.keypoints import Keypoints

GOAL_PRECISION, GOAL_RECALL = 0.99, 0.90
QUICK_VIDEOS = 6
DEFAULT_SEED = 1
BRAND_NAMES = frozenset(brand.name for brand in BRANDS)


@dataclass(frozen=True)
class Found:
    """What was said of one video, whatever its score; `ms` by step over `frames` frames."""

    truth: Truth
    claims: list[Claim]
    frames: int
    ms: dict[str, float]


@lru_cache(1)
def catalogue_of(run: Run) -> Catalogue:
    """Made once in each process."""
    return Catalogue(products_of(run))


def found_in(run: Run, truth: Truth) -> Found:
    """Every claim about a video."""
    seen, catalogue = seen_in(run, truth), catalogue_of(run)
    began = time.perf_counter()
    matches = find_matches_in_video(catalogue, seen.video, score_minimum=0.0)
    ms = {**seen.ms, "matching": (time.perf_counter() - began) * 1000}
    named = replace(truth, video=f"{truth.video} of seed {run.seed}")
    return Found(named, claims_of(matches, named), len(seen.video.frames), ms)


def textured_products(run: Run) -> set[str]:
    """Names of the products that have enough keypoints of their own: those of the ground around them do not count."""
    pictures = tools_of(run).pictures.by_name
    return {
        entry.product_id
        for entry in products_of(run)
        if _on_product(entry.images[0].keypoints, pictures[entry.product_id]) >= TEXTURE_KEYPOINTS_MIN
    }


def _on_product(keypoints: Keypoints, product: ProductPicture) -> int:
    columns, rows = np.clip(np.rint(keypoints.points), 0, np.array(product.alpha.shape[::-1]) - 1).astype(np.intp).T
    return int(product.alpha[rows, columns].sum())


def measure(runs: Sequence[Run], threshold: float) -> dict[str, Any]:
    """All figures of a set, of all its seeds together."""
    run = runs[0]
    products = products_of(run)
    found = [one for each in runs for one in over_set(found_in, each)]
    truths = [one.truth for one in found]
    claims = [claim for one in found for claim in one.claims]
    expected = expected_of(truths, claims)
    textured = textured_products(run)
    frames = sum(one.frames for one in found)
    steps = list(dict.fromkeys(step for one in found for step in one.ms))
    report: dict[str, Any] = {
        "set": run.set_name,
        "seeds": [each.seed for each in runs],
        "masks": run.masks,
        "threshold": threshold,
        "videos": len(truths),
        "videos_without_products": sum(not any(one.known for one in truth.appearances) for truth in truths),
        "frames": frames,
        "products": len(products),
        "textured_products": len(textured),
        "appearances_of_strangers": sum(not one.known for truth in truths for one in truth.appearances),
        "ms_per_frame": {step: sum(one.ms.get(step, 0.0) for one in found) / max(1, frames) for step in steps},
    }
    for name, wanted in (("textured", True), ("plain", False)):
        report[name] = _figures(
            [one for one in claims if (one.product in textured) == wanted],
            [one for one in expected if (one.appearance.product in textured) == wanted],
            threshold,
        )
    pictures = tools_of(run).pictures.by_name
    report["recall_by_kind"] = {
        kind: recall(
            [one for one in expected if (pictures[one.appearance.product].family in BRAND_NAMES) == printed], threshold
        ).as_json()
        for kind, printed in (("printed boxes", True), ("things", False))
    }
    return report


def _figures(claims: Sequence[Claim], expected: Sequence[Expected], threshold: float) -> dict[str, Any]:
    missed = [one for one in expected if one.score is None or one.score < threshold]
    return {
        "precision": precision(claims, threshold).as_json(),
        "recall": recall(expected, threshold).as_json(),
        "mean_span_overlap": mean_overlap(claims, threshold),
        "recall_by_condition": {
            condition: {limits: share.as_json() for limits, share in row.items()}
            for condition, row in recall_by_condition(expected, threshold).items()
        },
        "reliability": [
            {"from": low, "to": high, "mean_score": mean, "true": share.as_json()}
            for low, high, mean, share in reliability(claims)
        ],
        "curve": curve(claims, expected),
        "false": [
            {"product": one.product, "video": one.video, "score": one.score}
            for one in claims
            if not one.is_true and one.score >= threshold
        ],
        "missed": [{"video": one.video, "score": one.score, **asdict(one.appearance)} for one in missed],
    }


def print_report(report: dict[str, Any]) -> None:
    print(where_in_words(report["where"]))
    print(
        f"{report['set']} set, seeds {', '.join(map(str, report['seeds']))}, masks {report['masks']}: "
        f"{report['videos']} videos ({report['videos_without_products']} without a product of the catalogue), "
        f"{report['frames']} keyframes, "
        f"{report['products']} products ({report['textured_products']} textured), "
        f"{report['appearances_of_strangers']} appearances of strangers\n"
    )
    print(f"| at threshold {report['threshold']:g} | textured products | goal | plain products |\n|---|---|---|---|")
    for name, goal in (("precision", GOAL_PRECISION), ("recall", GOAL_RECALL)):
        share = _share(report["textured"][name])
        verdict = "reached" if share.value >= goal else "MISSED"
        print(f"| {name} | {share.text()} | {goal:g} {verdict} | {_share(report['plain'][name]).text()} |")
    overlaps = [_number(report[kind]["mean_span_overlap"]) for kind in ("textured", "plain")]
    print(f"| span IoU, mean of true matches | {overlaps[0]} | | {overlaps[1]} |\n")
    for kind, share in report["recall_by_kind"].items():
        print(f"recall of {kind}: {_share(share).text()}")
    print("\n| recall, textured | | | |\n|---|---|---|---|")
    for condition, row in report["textured"]["recall_by_condition"].items():
        cells = " | ".join(f"{limits}: {_short(_share(share))}" for limits, share in row.items())
        print(f"| {condition} | {cells} |")
    print("\n| said, textured | mean score | was true |\n|---|---|---|")
    for row in report["textured"]["reliability"]:
        print(f"| {row['from']:g} to {row['to']:g} | {_number(row['mean_score'])} | {_share(row['true']).text()} |")
    print("\n| ms per frame, of one of the processes |\n|---|")
    for step, ms in report["ms_per_frame"].items():
        print(f"| {step} | {ms:.1f} |")
    for one in report["textured"]["false"]:
        print(f"\nfalse: {one['product']} in {one['video']}, score {one['score']:.3f}", end="")
    for one in report["textured"]["missed"]:
        score = "nothing found" if one["score"] is None else f"score {one['score']:.3f}"
        seen = ", ".join(f"{name} {value:.2f}" for name, value in one["conditions"].items())
        print(f"\nmissed: {one['product']} in {one['video']} from {one['start']:g} s, {score}; {seen}", end="")
    print()


def _share(given: dict[str, Any]) -> Share:
    return Share(given["part"], given["whole"])


def _short(share: Share) -> str:
    return f"{share.value:.2f} of {share.whole}" if share.whole else "none"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def options_of(parser: argparse.ArgumentParser, *, seeds: int) -> argparse.Namespace:
    """What this benchmark and the calibration both take. seeds: how many there are if nobody says."""
    parser.add_argument("--products", type=Path, metavar="DIR", help="your product pictures, one file a product")
    parser.add_argument("--backgrounds", type=Path, metavar="DIR", help="photographs behind them; with --products")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of all that is drawn (default %(default)s)")
    parser.add_argument(
        "--seeds", type=int, default=seeds, metavar="N", help="so many, from --seed on, together (default %(default)s)"
    )
    parser.add_argument(
        "--masks", choices=("off", "products"), default="products", help="as in a job (default %(default)s)"
    )
    parser.add_argument("--processes", type=int, default=2, help="that work at a time (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"a look: {QUICK_VIDEOS} videos")
    parser.add_argument(
        "--data", type=Path, default=CACHE / "benchmarks" / "match", help="where videos and features are kept"
    )
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds} are none; give 1 or more")
    if (options.products is None) != (options.backgrounds is None):
        parser.error("--products and --backgrounds belong together: give both, or none for the built-in pictures")
    for folder in (options.products, options.backgrounds):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is no folder; give one that holds JPEG, PNG or WebP pictures")
    return options


def over_set(work: Callable[[Run, Truth], Made], run: Run) -> list[Made]:
    """`work` of each video, in parallel; what all processes need of the products is made before, once."""
    products_of(run)
    return in_parallel(work, run, truths_of(run), f"{run.set_name} set, seed {run.seed}")


def runs_of(options: argparse.Namespace, set_name: str) -> list[Run]:
    """One for each seed."""
    os.environ.setdefault("REELWORK_MODELS_DIR", str(CACHE / "reelwork-models"))
    masks: Masks = options.masks
    for model in ("efficientnet-lite0", *(("u2netp",) if masks == "products" else ())):
        pull_model(model)
    own = options.products is not None
    first = Run(
        set_name=set_name,  # type: ignore[arg-type]
        seed=options.seed,
        masks=masks,
        data=options.data,
        pictures=CACHE / "benchmarks",
        folders=Folders(options.products.resolve(), options.backgrounds.resolve()) if own else None,
        videos_max=QUICK_VIDEOS if options.quick else None,
        processes=options.processes,
    )
    return [replace(first, seed=options.seed + number) for number in range(options.seeds)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SET_NAMES, default="test", help="default %(default)s; tune on the other only")
    parser.add_argument("--threshold", type=float, default=SCORE_MINIMUM, help="lowest score (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("match-accuracy.png"), help="the precision-recall curve")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = options_of(parser, seeds=1)
    try:
        report = {**measure(runs_of(options, options.set), options.threshold), "where": where(options.data)}
    except ValueError as error:
        parser.error(str(error))
    curves = {f"{kind} products": report[kind]["curve"] for kind in ("textured", "plain") if report[kind]["curve"]}
    title = f"match, {report['set']} set: {report['products']} products, {report['videos']} videos"
    goal = (GOAL_PRECISION, GOAL_RECALL)
    draw_curve(options.out, curves, threshold=options.threshold, goal=goal, title=title)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_report(report)
        print(f"\nprecision-recall curve: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
