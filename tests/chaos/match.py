"""`python -m tests.chaos.match`: match jobs on four worker processes: killed, healthy, repeated, with spoiled frames.

Raises AssertionError where a stage completes more or less than once, or anything is lost; prints the figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from reelwork.ledger import JobStatus, Ledger, StageStatus
from reelwork.vision import pull_model
from tests.chaos.match_fleet import VICTIMS, MatchFleet, match_fleet
from tests.pipelines.match.job.house import texture, write_product, write_video
from tests.weights import TEST_MODELS_DIR

VISION: Final = ("image.embeddings", "image.keypoints", "video.embeddings", "video.keypoints")
STAGES: Final = (
    "products.collections",
    "videos.collections",
    "image.masks",
    *VISION,
    "match.request",
    "evidences.generation",
)
PRODUCT_SIDE: Final = 120
SPOIL_EVERY: Final = 20
"""One frame of so many is made undecodable: 5 %."""
JOB_SECONDS_MAX: Final = 1_200.0


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """processed, total, reason: of the one completion. done, failed: in the end."""

    processed: int
    total: int
    reason: str
    done: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class JobFigures:
    """searched: frames that the matcher had both features of. reused: by stage, the assets whose work was found done.
    killed: by service, how far its stage was, as `done of expected`.
    """

    seconds: float
    frames: int
    searched: int
    matches: list[tuple[str, str]]
    stages: dict[str, StageFigures]
    reused: dict[str, str]
    killed: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """killed: threshold 100, each vision service killed once. healthy, again, spoiled: threshold 90; `again` repeats
    `healthy` with nothing changed; `spoiled` has a twentieth of its frames undecodable.
    """

    spoiled_frames: int
    killed: JobFigures
    healthy: JobFigures
    again: JobFigures
    spoiled: JobFigures


def run(folder: Path, *, products: int, videos: int, seconds: int) -> Figures:
    """Four jobs on the same products and videos; video n shows product n, and the last video none."""
    pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)
    shelf, data = folder / "shelf", folder / "data"
    expected = write_shelf(shelf, products=products, videos=videos, seconds=seconds)
    with match_fleet(data, shelf, threshold="100") as fleet:
        killed = run_job(fleet, shelf, kill=True)
    check_killed(killed)
    forget_features(data)
    shutil.rmtree(data / "objects" / "frames")
    with match_fleet(data, shelf, threshold="90") as fleet:
        healthy = run_job(fleet, shelf)
        again = run_job(fleet, shelf)
        forget_features(data)
        spoiled_frames = spoil_frames(data)
        spoiled = run_job(fleet, shelf)
    for figures in (killed, healthy, again, spoiled):
        assert set(figures.matches) == expected, figures.matches
    check_healthy(healthy)
    check_again(again, healthy)
    check_spoiled(spoiled, spoiled_frames)
    return Figures(spoiled_frames=spoiled_frames, killed=killed, healthy=healthy, again=again, spoiled=spoiled)


def write_shelf(shelf: Path, *, products: int, videos: int, seconds: int) -> set[tuple[str, str]]:
    """What is to be found."""
    pictures = [texture(number, PRODUCT_SIDE) for number in range(products)]
    for number, picture in enumerate(pictures):
        write_product(shelf / "products", f"product-{number}", picture)
    for number in range(videos - 1):
        write_video(shelf / "videos" / f"video-{number}.mp4", pictures[number], seconds=seconds, seed=number)
    write_video(shelf / "videos" / "nothing.mp4", None, seconds=seconds, seed=videos)
    return {(f"product-{number}", f"video-{number}") for number in range(videos - 1)}


def run_job(fleet: MatchFleet, shelf: Path, *, kill: bool = False) -> JobFigures:
    """Asserts what holds for every job: it completes, and each stage says so once."""
    fleet.killed.clear()
    job_id, seconds = fleet.run(shelf, seconds_max=JOB_SECONDS_MAX, kill=kill)
    ledger = fleet.ledger
    job = ledger.job(job_id)
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
    status = {stage.stage: stage for stage in ledger.stage_status(job_id)}
    assert set(status) == set(STAGES)
    topics = [row.topic for row in ledger.outbox(job_id) if not row.is_replay]
    for stage in status.values():
        assert stage.completion is not None
        assert topics.count(stage.completion.topic) == 1, stage.completion.topic
    assert topics.count("job.completed") == 1
    searched = list(ledger.assets(job_id, "match.request"))
    return JobFigures(
        seconds=round(seconds, 1),
        frames=status["videos.collections"].done_weight,
        searched=sum(video.result["frames"] for video in searched if video.result),
        matches=sorted(_matches(ledger, job_id)),
        stages={name: _figures(stage) for name, stage in status.items()},
        reused={name: _reused(ledger, job_id, name) for name in ("videos.collections", "image.masks", *VISION)},
        killed={service: f"{done} of {expected}" for service, (done, expected) in fleet.killed.items()},
    )


def _figures(stage: StageStatus) -> StageFigures:
    completion = stage.completion
    assert completion is not None
    assert completion.has_partial_completion == (completion.processed_assets < completion.total_assets)
    return StageFigures(
        processed=completion.processed_assets,
        total=completion.total_assets,
        reason=completion.reason,
        done=stage.done,
        failed=stage.failed,
    )


def _matches(ledger: Ledger, job_id: str) -> Iterator[tuple[str, str]]:
    for row in ledger.outbox(job_id):
        if row.topic == "match.result":
            result: dict[str, Any] = json.loads(row.body)
            yield result["product_id"], result["video_id"]


def _reused(ledger: Ledger, job_id: str, stage: str) -> str:
    answers = [asset.result["reused"] for asset in ledger.assets(job_id, stage) if asset.result is not None]
    return f"{sum(answers)} of {len(answers)}"


def check_killed(job: JobFigures) -> None:
    """At threshold 100 nothing may be missing, whoever died."""
    assert set(job.killed) == set(VICTIMS), job.killed
    for name, stage in job.stages.items():
        assert (stage.processed, stage.reason) == (stage.total, "all"), name
    assert job.searched == job.frames


def check_healthy(job: JobFigures) -> None:
    """At threshold 90 a stage may say that it is done before it is; the matcher has every frame all the same."""
    for name, stage in job.stages.items():
        assert stage.processed * 100 >= stage.total * 90, name
        assert (stage.done, stage.failed) == (stage.total, 0), name
    assert job.searched == job.frames
    assert set(job.reused.values()) == {f"0 of {job.stages[name].total}" for name in job.reused}


def check_again(again: JobFigures, first: JobFigures) -> None:
    """Nothing but the match is computed."""
    assert again.reused == {name: f"{again.stages[name].total} of {again.stages[name].total}" for name in again.reused}
    assert (again.frames, again.searched, again.matches) == (first.frames, first.searched, first.matches)


def check_spoiled(job: JobFigures, spoiled: int) -> None:
    """What cannot be decoded fails, and the rest goes on."""
    for name in ("video.embeddings", "video.keypoints"):
        stage = job.stages[name]
        assert stage.total * 90 <= stage.processed * 100 < stage.total * 100, name
        assert (stage.done, stage.failed) == (job.frames - spoiled, spoiled), name
    assert job.searched == job.frames - spoiled


def forget_features(data: Path) -> None:
    shutil.rmtree(data / "objects" / "features")


def spoil_frames(data: Path) -> int:
    """Cuts one of SPOIL_EVERY stored frames short behind its header; how many these are."""
    chosen = sorted((data / "objects" / "frames").rglob("*.jpg"))[::SPOIL_EVERY]
    for path in chosen:
        path.write_bytes(path.read_bytes()[:24])
    return len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.match", description=__doc__)
    parser.add_argument("--products", type=int, default=20)
    parser.add_argument("--videos", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30, help="of each video (default: %(default)s)")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="reelwork-match-"))
    try:
        figures = run(folder, products=asked.products, videos=asked.videos, seconds=asked.seconds)
    except BaseException:
        print(f"What the failed run has left is in {folder}.", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    print(json.dumps(asdict(figures), indent=2))


if __name__ == "__main__":
    main()
