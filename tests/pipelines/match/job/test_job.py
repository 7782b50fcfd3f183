"""A whole match job through the real runtime: each stage completes once, nothing is looked at twice, and bad input
costs no more than itself.
"""

from __future__ import annotations

import asyncio
import html
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from reelwork.events import MatchResult, parse_event
from reelwork.ledger import AssetState, JobStatus
from reelwork.pipelines.match import matcher, product_segmentor, video_crawler
from reelwork.pipelines.match.features import decoded, mask_from_bytes
from reelwork.pipelines.match.matching import catalogue
from reelwork.pipelines.match.product_mask import BELIEVED_SHARE_MIN, share_inside
from reelwork.runtime.dead_letters import DeadLetters
from reelwork.vision.opencv import cv2
from tests.clips import damage
from tests.conformance.ledger.conftest import clock, store
from tests.conformance.ledger.stores import Store
from tests.house import run
from tests.pipelines.match.job.house import MatchHouse, open_match_house, texture, write_product, write_video
from tests.scenarios.conftest import kind

__all__ = ["clock", "kind", "store"]

VISION = ("image.embeddings", "image.keypoints", "video.embeddings", "video.keypoints")
STAGES = ("products.collections", "videos.collections", *VISION, "match.request", "evidences.generation")


def assert_each_stage_completed_once(house: MatchHouse, job_id: str) -> None:
    count = house.count(job_id)
    completions = [f"{stage}.completed" for stage in STAGES]
    assert {topic: count[topic] for topic in completions} == dict.fromkeys(completions, 1)
    assert count["job.completed"] == 1
    assert count["job.failed"] == 0


class TestJob:
    def test_each_stage_completes_once_with_all_that_there_is(
        self, tmp_path: Path, products: Path, videos: Path, store: Store
    ) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data", url=store.url) as house:
                job_id = house.submit([products], [videos])
                job = await house.finish(job_id)
                assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
                assert_each_stage_completed_once(house, job_id)
                stages = house.stages(job_id)
                frames = stages["videos.collections"].done_weight
                assert frames > 2
                expected = {
                    "products.collections": 2,
                    "videos.collections": 2,
                    "image.masks": 3,
                    "image.embeddings": 3,
                    "image.keypoints": 3,
                    "video.embeddings": frames,
                    "video.keypoints": frames,
                    "match.request": 2,
                    "evidences.generation": stages["match.request"].done_weight,
                }
                assert {name: (stage.expected, stage.done) for name, stage in stages.items()} == {
                    name: (number, number) for name, number in expected.items()
                }
                for stage in stages.values():
                    assert stage.completion is not None
                    assert not stage.completion.has_partial_completion

        run(test())

    def test_what_is_announced_goes_out_first(self, tmp_path: Path, products: Path, videos: Path) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                await house.finish(job_id)
                topics = house.topics(job_id)
                assert topics[:3] == ["match.submitted", "products.collect.request", "videos.search.request"]
                for batch, ready in (
                    ("videos.keyframes.ready.batch", "videos.keyframes.ready"),
                    ("products.images.ready.batch", "products.image.ready"),
                ):
                    assert topics.index(batch) < topics.index(ready)
                (batch_of_frames,) = house.bodies(job_id, "videos.keyframes.ready.batch")
                sent = house.bodies(job_id, "videos.keyframes.ready")
                assert batch_of_frames["total_frames"] == sum(len(body["frames"]) for body in sent)
                assert UUID(batch_of_frames["event_id"]).version == 4
                (batch_of_images,) = house.bodies(job_id, "products.images.ready.batch")
                assert batch_of_images["total_images"] == 3
                for phase, after in (("match.request", VISION), ("job.completed", STAGES)):
                    assert topics.index(phase) > max(topics.index(f"{stage}.completed") for stage in after)

        run(test())

    def test_the_frames_of_a_long_video_go_out_in_parts(
        self, tmp_path: Path, products: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(video_crawler, "FRAMES_PER_MESSAGE_MAX", 2)

        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                await house.finish(job_id)
                sizes = [len(body["frames"]) for body in house.bodies(job_id, "videos.keyframes.ready")]
                assert max(sizes) == 2
                assert sum(sizes) == house.stages(job_id)["video.keypoints"].expected

        run(test())

    def test_finds_the_product_where_it_is_and_shows_it(self, tmp_path: Path, products: Path, videos: Path) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                await house.finish(job_id)
                (found,) = house.results(job_id)
                assert (found["product"], found["video"]) == ("red mug", "kitchen")
                assert sorted(found) == ["best_pair", "product", "score", "spans", "ts", "video"]
                assert 0.5 < found["score"] <= 1
                assert found["spans"]
                assert json.loads(house.artifact(job_id, "matches.json")) == [found]
                assert house.artifact(job_id, "evidence/00000.jpg")[:3] == b"\xff\xd8\xff"
                assert house.artifact(job_id, "report.html").startswith(b"<!doctype html>")
                (result,) = house.bodies(job_id, "match.result")
                event = parse_event("match.result", json.dumps(result))
                assert isinstance(event, MatchResult)
                assert (event.ts, event.score) == (
                    pytest.approx(found["ts"], abs=1e-3),
                    pytest.approx(found["score"], abs=1e-4),
                )

        run(test())


class TestMasks:
    @pytest.mark.parametrize(
        ("masks", "masked"),
        [("off", []), ("products", ["image.masks"]), ("all", ["image.masks", "video.masks"])],
    )
    def test_each_picture_is_looked_at_once_raw_or_masked(
        self, tmp_path: Path, products: Path, videos: Path, masks: str, masked: list[str]
    ) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos], masks=masks)
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                assert_each_stage_completed_once(house, job_id)
                stages, count = house.stages(job_id), house.count(job_id)
                assert sorted(name for name in stages if name.endswith(".masks")) == masked
                assert count["products.images.masked.batch"] == ("image.masks" in masked)
                assert count["video.keyframes.masked.batch"] == ("video.masks" in masked)
                assert count["products.image.masked"] == (3 if "image.masks" in masked else 0)
                for stage in VISION:
                    assert stages[stage].done == stages[stage].expected == count[f"{stage.removesuffix('s')}.ready"]
                for body in house.bodies(job_id, "products.images.masked.batch"):
                    assert body["total_images"] == 3
                for asset in house.assets(job_id, "image.masks").values():
                    assert asset.result is not None
                    assert asset.result["method"].startswith("grabcut")
                frames = {
                    frame["frame_id"]: frame
                    for body in house.bodies(job_id, "video.keyframes.masked")
                    for frame in body["frames"]
                }
                for frame in frames.values():
                    picture, mask = (house.backends.objects.get(frame[key]) for key in ("key", "mask_key"))
                    share = share_inside(product_segmentor.detector().detect(decoded(picture)), mask_from_bytes(mask))
                    assert share >= BELIEVED_SHARE_MIN
                told = [note for note in json.loads(house.artifact(job_id, "notes.json")) if "GrabCut" in note]
                assert len(told) == len(masked)
                for note in told:
                    assert "reelwork models pull u2netp" in note
                    assert note in html.unescape(house.artifact(job_id, "report.html").decode())

        run(test())

    def test_are_those_of_the_setting_when_the_job_was_submitted(
        self, tmp_path: Path, products: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                monkeypatch.setenv("REELWORK_MATCH_MASKS", "off")
                job_id = house.submit([products], [videos])
                monkeypatch.setenv("REELWORK_MATCH_MASKS", "all")
                job = await house.finish(job_id)
                assert job.parameters["masks"] == "off"
                assert "image.masks" not in house.stages(job_id)

        run(test())


class TestReuse:
    def test_a_second_job_on_the_same_things_looks_at_nothing_again(
        self, tmp_path: Path, products: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                first = house.submit([products], [videos], masks="all")
                await house.finish(first)
                assert house.reused(first)["videos.collections"] == {False}
                assert house.reused(first)["video.keypoints"] == {False}
                monkeypatch.setattr(video_crawler, "keyframes_of", decoded_again)
                monkeypatch.setattr(catalogue, "distinctive_marks", compared_again)
                second = house.submit([products], [videos], masks="all")
                job = await house.finish(second)
                assert job.status is JobStatus.COMPLETED
                assert all(answers == {True} for answers in house.reused(second).values()), house.reused(second)
                assert house.results(second) == house.results(first)

        run(test())

    def test_what_was_kept_and_is_damaged_is_made_again(self, tmp_path: Path, products: Path, videos: Path) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                first = house.submit([products], [videos])
                await house.finish(first)
                objects = house.backends.objects
                for key in list(objects.keys("features/")):
                    objects.put(key, objects.get(key)[:-30])
                collected, other = (key for key in objects.keys("frames/") if key.endswith("keyframes.json"))
                objects.put(collected, b"{")
                objects.delete([next(key for key in objects.keys(other.rpartition("/")[0]) if key.endswith(".jpg"))])
                second = house.submit([products], [videos])
                await house.finish(second)
                assert all(answers == {False} for answers in house.reused(second).values()), house.reused(second)
                assert house.results(second) == house.results(first)
                assert house.notes(second) == []

        run(test())

    def test_the_catalogue_is_made_ready_before_a_video_is_searched(
        self, tmp_path: Path, products: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                searching = [s.queue for s in house.backends.catalogue.subscriptions if s.queue != "q.matcher.videos"]
                while await house.step(*searching):
                    pass
                assert house.count(job_id)["match.video"] == 2
                matcher._catalogue.cache_clear()  # another process
                monkeypatch.setattr(catalogue, "distinctive_marks", compared_again)
                await house.finish(job_id)
                assert [found["product"] for found in house.results(job_id)] == ["red mug"]

        run(test())

    def test_a_new_mask_is_a_new_picture(self, tmp_path: Path, products: Path, videos: Path) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                await house.finish(house.submit([products], [videos], masks="off"))
                second = house.submit([products], [videos], masks="products")
                await house.finish(second)
                assert house.reused(second)["image.keypoints"] == {False}
                assert house.reused(second)["video.keypoints"] == {True}

        run(test())


def decoded_again(*_arguments: Any, **_named: Any) -> Any:
    raise AssertionError("the video was decoded a second time")


def compared_again(*_arguments: Any, **_named: Any) -> Any:
    raise AssertionError("the products were compared with each other a second time")


class TestBadInput:
    @pytest.mark.parametrize(
        ("missing", "explanation"),
        [("products", "no products were found"), ("videos", "no videos were found")],
    )
    def test_nothing_there_ends_cleanly_and_says_so(
        self, tmp_path: Path, products: Path, videos: Path, missing: str, explanation: str
    ) -> None:
        async def test() -> None:
            empty = tmp_path / "empty"
            empty.mkdir()
            given = {"products": products, "videos": videos, missing: empty}
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([given["products"]], [given["videos"]])
                job = await house.finish(job_id)
                assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
                assert_each_stage_completed_once(house, job_id)
                assert house.results(job_id) == []
                assert explanation in house.jobs.detail(job_id).details["explanation"]
                assert explanation in house.artifact(job_id, "report.html").decode()

        run(test())

    def test_a_broken_picture_costs_itself(self, tmp_path: Path, products: Path, videos: Path) -> None:
        (products / "red mug" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        (products / "nothing").mkdir()
        (products / "nothing" / "0.png").write_bytes(b"not a picture")

        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                assert_each_stage_completed_once(house, job_id)
                states = {
                    asset_id: asset.state for asset_id, asset in house.assets(job_id, "products.collections").items()
                }
                assert sorted(states.values()) == [AssetState.DONE, AssetState.DONE, AssetState.FAILED]
                assert house.stages(job_id)["image.keypoints"].expected == 3
                details = house.jobs.detail(job_id).details
                (reason,) = details["refused"]["products"].values()
                assert "no usable picture" in reason
                assert [found["product"] for found in house.results(job_id)] == ["red mug"]

        run(test())

    def test_a_broken_video_costs_itself(self, tmp_path: Path, products: Path, videos: Path) -> None:
        (videos / "torn.mp4").write_bytes(b"not a video at all" * 100)

        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                stage = house.stages(job_id)["videos.collections"]
                assert stage.completion is not None
                assert (stage.done, stage.failed, stage.completion.reason) == (2, 1, "settled")
                assert "torn" in house.jobs.detail(job_id).details["refused"]["videos"]
                assert [found["video"] for found in house.results(job_id)] == ["kitchen"]

        run(test())

    def test_a_video_damaged_in_the_middle_gives_the_rest_and_says_so(self, tmp_path: Path, products: Path) -> None:
        whole = write_video(tmp_path / "whole.mp4", None, seconds=12)
        (tmp_path / "videos").mkdir()
        damage(whole, tmp_path / "videos" / "scratched.mp4", range(20, 30))

        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [tmp_path / "videos"])
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                assert house.stages(job_id)["videos.collections"].done_weight > 2
                (note,) = house.notes(job_id)
                assert note.startswith("scratched: ")
                report = house.artifact(job_id, "report.html").decode()
                assert "cannot be decoded" in note
                assert html.escape(note) in report
                assert "none of the products was found in what could be decoded" in report

        run(test())

    def test_frames_that_cannot_be_looked_at_leave_a_partial_stage(
        self, tmp_path: Path, products: Path, videos: Path
    ) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                await house.collect()
                (first, *_) = house.bodies(job_id, "videos.keyframes.ready")[0]["frames"]
                house.backends.objects.put(first["key"], b"\xff\xd8\xff torn")
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                assert_each_stage_completed_once(house, job_id)
                notes = house.notes(job_id)
                expected = house.stages(job_id)["video.keypoints"].expected
                assert f"1 of {expected} frames could not be looked at (video.keypoints)" in notes
                (completion,) = house.bodies(job_id, "video.keypoints.completed")
                assert completion["has_partial_completion"]
                assert completion["processed_assets"] == completion["total_assets"] - 1

        run(test())

    def test_failures_behind_the_threshold_of_the_masks_keep_nobody_waiting(
        self, tmp_path: Path, products: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Three masks are made, which is the threshold; then one fails, and of those three an embedding."""
        cv2.imwrite(str(products / "red mug" / "2.png"), texture(7))
        monkeypatch.setenv("COMPLETION_THRESHOLD_PERCENTAGE", "60")

        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                await house.collect()
                *_, middle, last = (body["key"] for body in house.bodies(job_id, "products.image.ready"))
                house.backends.objects.put(last, b"\xff\xd8\xff torn")
                await house.step("q.product_segmentor.images.batch")
                await house.step("q.product_segmentor.images")
                assert house.count(job_id)["products.image.masked"] == 3
                house.backends.objects.put(middle, b"\xff\xd8\xff torn")
                began = house.clock.now_ms
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                stage = house.stages(job_id)["image.embeddings"]
                assert (stage.expected, stage.done, stage.failed) == (3, 2, 1)
                assert house.clock.now_ms - began < 300_000, "it waited for the watermark"

        run(test())

    def test_a_video_that_could_not_be_searched_is_told(self, tmp_path: Path, products: Path, videos: Path) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                await house.collect()
                while await house.step(
                    *(s.queue for s in house.backends.catalogue.subscriptions if s.service != "matcher")
                ):
                    pass
                described = house.assets(job_id, "video.keypoints")
                torn = next(asset for asset_id, asset in described.items() if asset_id.startswith("garden/"))
                assert torn.result is not None
                house.backends.objects.put(torn.result["key"], b"torn")
                await house.finish(job_id)
                assert [found["video"] for found in house.results(job_id)] == ["kitchen"]
                (note,) = house.notes(job_id)
                assert note.startswith("videos: garden could not be searched: ")
                assert "this video could not be searched" in house.artifact(job_id, "report.html").decode()

        run(test())

    def test_frames_that_came_too_late_are_told(
        self, tmp_path: Path, products: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(video_crawler, "FRAMES_PER_MESSAGE_MAX", 1)
        monkeypatch.setenv("COMPLETION_THRESHOLD_PERCENTAGE", "10")

        async def test() -> None:
            async with open_match_house(tmp_path / "data", REELWORK_SETTLE_SECONDS=0) as house:
                job_id = house.submit([products], [videos])
                await house.collect()
                held = await house.backends.broker.receive("q.vision_keypoint.keyframes", limit=2, wait_seconds=0)
                assert len(held) == 2
                await house.finish(job_id)
                total = house.stages(job_id)["video.keypoints"].expected
                (note,) = house.notes(job_id)
                assert note.startswith(f"2 of {total} frames came too late to be searched")

        run(test())

    def test_a_video_that_a_replay_brings_too_late_is_not_said_to_hold_nothing(
        self, tmp_path: Path, products: Path, videos: Path
    ) -> None:
        late, whole = videos / "garden.mp4", (videos / "garden.mp4").read_bytes()
        late.write_bytes(b"not a video at all" * 100)

        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                job_id = house.submit([products], [videos])
                await house.collect()
                late.write_bytes(whole)
                (letter,) = house.backends.ledger.dead_letters(job_id)
                DeadLetters(house.backends.ledger).replay(letter.dead_letter_id)
                await house.finish(job_id)
                (note,) = house.notes(job_id)
                assert "frames came too late to be searched" in note
                assert "this video could not be searched" in house.artifact(job_id, "report.html").decode()
                details = house.jobs.detail(job_id).details
                assert (details["videos"], details["too_late"]) == (1, {"products": 0, "videos": 1})
                assert details["frames"] == house.stages(job_id)["video.keypoints"].expected

        run(test())

    def test_a_place_that_jobs_may_not_read_is_refused_at_submit(self, tmp_path: Path, videos: Path) -> None:
        async def test() -> None:
            async with open_match_house(tmp_path / "data") as house:
                with pytest.raises(Exception, match="REELWORK_SOURCE_FOLDERS"):
                    house.submit([Path("/etc")], [videos])

        run(test())


def test_a_cancelled_job_goes_no_further(tmp_path: Path, products: Path, videos: Path) -> None:
    async def test() -> None:
        async with open_match_house(tmp_path / "data") as house:
            job_id = house.submit([products], [videos])
            await house.collect()
            assert house.bodies(job_id, "videos.keyframes.ready")
            await asyncio.to_thread(house.jobs.cancel, job_id)
            while await house.step():
                pass
            assert house.backends.ledger.job(job_id).status is JobStatus.CANCELLED
            count = house.count(job_id)
            assert (count["job.cancelled"], count["match.request"], count["job.completed"]) == (1, 0, 0)

    run(test())


def test_products_and_videos_of_one_name_are_kept_apart(tmp_path: Path, videos: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_product(first, "mug", texture(1))
    write_product(second, "mug", texture(3))
    write_video(tmp_path / "more" / "kitchen.mov", texture(3), seed=9)

    async def test() -> None:
        async with open_match_house(tmp_path / "data") as house:
            job_id = house.submit([first, second], [videos, tmp_path / "more"])
            await house.finish(job_id)
            stages = house.stages(job_id)
            assert (stages["products.collections"].done, stages["videos.collections"].done) == (2, 3)
            pairs = {(body["product_id"], body["video_id"]) for body in house.bodies(job_id, "match.result")}
            assert len(pairs) == len(house.results(job_id)) == 2
            found = {(one["product"], one["video"]) for one in house.results(job_id)}
            assert found == {("first/mug", "kitchen.mp4"), ("second/mug", "kitchen.mov")}

    run(test())
