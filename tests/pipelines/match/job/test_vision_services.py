"""vision-embedding and vision-keypoint alone, sent what the requirements send them: batches, frames and images."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from reelwork.events import (
    Event,
    Keyframe,
    ProductsImageReady,
    ProductsImagesReadyBatch,
    VideosKeyframesReady,
    VideosKeyframesReadyBatch,
)
from reelwork.ledger import StageStatus, Work
from reelwork.vision.opencv import cv2
from tests.house import run
from tests.pipelines.match.job.house import MatchHouse, open_match_house, texture

PICTURE = "pictures/one.png"
TTL_SECONDS = 900
FRAME_STAGES = ("video.embeddings", "video.keypoints")
IMAGE_STAGES = ("image.embeddings", "image.keypoints")


async def started(house: MatchHouse, folder: Path) -> str:
    """A running job, of which nothing is collected, and one picture that every message may name."""
    for name in ("products", "videos"):
        (folder / name).mkdir()
    job_id = house.submit([folder / "products"], [folder / "videos"], masks="off")
    await house.step("q.match.jobs")
    house.backends.objects.put(PICTURE, bytes(cv2.imencode(".png", texture(1))[1]))
    return job_id


def send(house: MatchHouse, *events: Event) -> None:
    house.backends.ledger.commit(Work(events=list(events)))


def frames_batch(job_id: str, total: int) -> Event:
    return VideosKeyframesReadyBatch(job_id=job_id, event_id=uuid4(), total_frames=total)


def frames(job_id: str, video_id: str, count: int) -> Event:
    keyframes = [Keyframe(frame_id=f"{number:08d}", ts=number / 2, key=PICTURE) for number in range(count)]
    return VideosKeyframesReady(job_id=job_id, event_id=uuid4(), video_id=video_id, frames=tuple(keyframes))


async def look(house: MatchHouse) -> None:
    """Both services work until nothing is left for them."""
    queues = [s.queue for s in house.backends.catalogue.subscriptions if s.service.startswith("vision-")]
    while await house.step(*queues):
        pass


def completed(house: MatchHouse, job_id: str, stage: str) -> tuple[int, int, bool, str]:
    """The one completion: total, processed, partial, reason."""
    assert house.count(job_id)[f"{stage}.completed"] == 1
    completion = of_stage(house, job_id, stage).completion
    assert completion is not None
    return (
        completion.total_assets,
        completion.processed_assets,
        completion.has_partial_completion,
        completion.reason,
    )


def of_stage(house: MatchHouse, job_id: str, stage: str) -> StageStatus:
    return house.stages(job_id)[stage]


def test_batch_of_100_then_100_frames_of_three_videos_is_one_completion_each(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_match_house(tmp_path / "data", COMPLETION_THRESHOLD_PERCENTAGE="100") as house:
            job_id = await started(house, tmp_path)
            send(house, frames_batch(job_id, 100), frames(job_id, "one", 50), frames(job_id, "two", 30))
            await look(house)
            for stage in FRAME_STAGES:
                assert of_stage(house, job_id, stage).done == 80
                assert house.count(job_id)[f"{stage}.completed"] == 0, "a video of a job is not the job"
            send(house, frames(job_id, "three", 20))
            await look(house)
            for stage in FRAME_STAGES:
                assert completed(house, job_id, stage) == (100, 100, False, "all")
                assert house.count(job_id)[f"{stage.removesuffix('s')}.ready"] == 100

    run(test())


def test_batch_of_100_then_60_frames_and_the_watermark_is_partial(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_match_house(tmp_path / "data", WATERMARK_TTL_SECONDS=TTL_SECONDS) as house:
            job_id = await started(house, tmp_path)
            send(house, frames_batch(job_id, 100), frames(job_id, "one", 50), frames(job_id, "two", 10))
            await look(house)
            house.clock.advance(TTL_SECONDS - 1)
            await house.backends.sweeper(house.relay).sweep()
            assert [house.count(job_id)[f"{stage}.completed"] for stage in FRAME_STAGES] == [0, 0]
            house.clock.advance(2)
            await house.backends.sweeper(house.relay).sweep()
            for stage in FRAME_STAGES:
                assert completed(house, job_id, stage) == (100, 60, True, "watermark")

    run(test())


def test_the_batch_counts_once_however_often_and_late_it_comes(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_match_house(tmp_path / "data", COMPLETION_THRESHOLD_PERCENTAGE="100") as house:
            job_id = await started(house, tmp_path)
            send(house, frames(job_id, "one", 5))
            await look(house)
            assert [of_stage(house, job_id, stage).expected for stage in FRAME_STAGES] == [None, None]
            send(house, frames_batch(job_id, 5), frames_batch(job_id, 5))
            await look(house)
            for stage in FRAME_STAGES:
                assert completed(house, job_id, stage) == (5, 5, False, "all")

    run(test())


def test_images_wait_for_all_of_their_job(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_match_house(tmp_path / "data", COMPLETION_THRESHOLD_PERCENTAGE="100") as house:
            job_id = await started(house, tmp_path)
            images = [
                ProductsImageReady(job_id=job_id, event_id=uuid4(), product_id="mug", image_id=name, key=PICTURE)
                for name in ("front", "back", "side")
            ]
            send(house, ProductsImagesReadyBatch(job_id=job_id, event_id=uuid4(), total_images=3), *images[:2])
            await look(house)
            assert [house.count(job_id)[f"{stage}.completed"] for stage in IMAGE_STAGES] == [0, 0]
            send(house, images[2])
            await look(house)
            for stage in IMAGE_STAGES:
                assert completed(house, job_id, stage) == (3, 3, False, "all")

    run(test())


@pytest.mark.parametrize(
    ("topic", "queues"),
    [
        ("videos.keyframes.ready.batch", {"q.vision_embedding.keyframes.batch", "q.vision_keypoint.keyframes.batch"}),
        ("products.images.ready.batch", {"q.vision_embedding.images.batch", "q.vision_keypoint.images.batch"}),
    ],
)
def test_each_has_its_own_queue_for_each_batch(tmp_path: Path, topic: str, queues: set[str]) -> None:
    async def test() -> None:
        async with open_match_house(tmp_path / "data") as house:
            bound = {queue for bound, queue in house.backends.catalogue.bindings() if bound == topic}
            assert {queue for queue in bound if queue.startswith("q.vision_")} == queues

    run(test())
