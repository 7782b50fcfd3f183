"""The whole analyze job in one process: its results are those of one run over the file, whatever goes wrong on the way.

Nothing here waits: a test hands out the deliveries itself, and its clock moves only when it says so.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from reelwork.broker import Faults
from reelwork.ledger import JobStatus, Work
from reelwork.objects.keys import results_key
from reelwork.pipelines.analyze import VideoFilePipelineService, analyzer, frame_plan, pipeline
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from tests.clips import SOUND_CLIPS, damage, write_clip
from tests.pipelines.video_house import VideoHouse, open_video_house, run

Results = list[dict[str, Any]]
PLANS, RANGES, ENDS = "q.analyze.jobs", "q.analyzer.ranges", "q.merger.ranges.completed"


def open_house(folder: Path, *, faults: Faults | None = None, seed: int = 0) -> AbstractAsyncContextManager[VideoHouse]:
    return open_video_house(folder, pipeline, faults=faults, seed=seed)


def results(house: VideoHouse, job_id: str) -> Results:
    found: Results = json.loads(house.backends.objects.get(results_key(job_id)))
    return found


def whole_run(clip: Path, pipeline_id: str = "quality", stride: int = 1, max_frames: int | None = None) -> Results:
    return VideoFilePipelineService().run_on_file(clip, pipeline_id, stride, max_frames)


@pytest.fixture(autouse=True)
def _short_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that clips of a second have several."""
    monkeypatch.setattr(frame_plan, "RANGE_PROCESSED_FRAMES", 10)


class TestResults:
    @pytest.mark.parametrize(
        "name",
        [
            "plain.mp4",
            "bframes.mp4",
            "variable-rate.mp4",
            "open-gop.mp4",
            "open-gop-hevc.mp4",
            "late-start.mp4",
            "late-start.ts",
            "one-frame.mp4",
            "one-keyframe.mp4",
        ],
    )
    def test_are_those_of_one_run_over_the_file(self, tmp_path: Path, name: str) -> None:
        async def test() -> None:
            clip = SOUND_CLIPS[name](tmp_path / name)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="shots+quality+motion")
                job = await house.finish(job_id)
                assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
                assert results(house, job_id) == whole_run(clip, "shots+quality+motion")
                assert house.topics(job_id).count("video.ranges.completed") == 1
                assert house.topics(job_id).count("job.completed") == 1
                account = house.detail(job_id).details
                assert account == {"frames": len(results(house, job_id)), "missing_frames": []}

        run(test())

    @pytest.mark.parametrize(
        ("stride", "max_frames"), [(1, 7), (3, None), (7, 4), (10, None), (29, None), (100, 1), (1, 1000)]
    )
    def test_with_stride_and_limit(self, tmp_path: Path, stride: int, max_frames: int | None) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4", frames=60, bframes=2)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, frame_stride=stride, max_frames=max_frames, pipeline_id="motion")
                await house.finish(job_id)
                assert results(house, job_id) == whole_run(clip, "motion", stride, max_frames)

        run(test())

    def test_several_ranges_are_worked_on(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4", frames=60)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                await house.finish(job_id)
                (stage,) = house.detail(job_id).stages
                assert (stage.status.expected, stage.status.done, stage.status.done_weight) == (6, 6, 60)

        run(test())


class TestContracts:
    def test_the_queue_gets_the_job_id_and_nothing_else(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4")
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                (delivery,) = await house.backends.broker.receive(PLANS, limit=9, wait_seconds=0)
                assert json.loads(delivery.message.body) == {"job_id": job_id}
                assert house.backends.ledger.job(job_id).status is JobStatus.PENDING

        run(test())

    def test_the_announcement_comes_before_the_first_range(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4")
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                await house.step(PLANS)
                expected = ["video.submitted", "video.ranges.batch", *["video.range.ready"] * 3]
                assert house.topics(job_id) == expected
                assert house.backends.ledger.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_progress_never_falls_and_is_whole_only_at_the_end(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = damage(write_clip(tmp_path / "whole.mp4", frames=60), tmp_path / "clip.mp4", range(12, 20))
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                seen = []

                def watch() -> None:
                    job = house.backends.ledger.job(job_id)
                    seen.append(house.jobs.progress(job))
                    assert (seen[-1] == 1.0) == (job.status is JobStatus.COMPLETED)

                await house.step(PLANS, watch=watch)
                await house.step(f"{RANGES}.batch", watch=watch)
                await house.finish(job_id, watch)
                assert seen == sorted(seen)
                assert len(set(seen)) >= 6, "it moves with the ranges"

        run(test())


class TestDamage:
    def test_a_damaged_group_of_pictures_costs_its_own_frames(self, tmp_path: Path) -> None:
        async def test() -> None:
            whole = write_clip(tmp_path / "whole.mp4", frames=60)
            clip = damage(whole, tmp_path / "clip.mp4", range(22, 30))
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                expected = [one for one in whole_run(whole) if not 20 <= one["frame_index"] < 30]
                assert results(house, job_id) == expected
                account = house.detail(job_id).details
                assert account["frames"] == 60
                (missing,) = account["missing_frames"]
                assert (missing["start"], missing["end"], missing["frames"]) == (20, 30, 10)
                assert "cannot be decoded" in missing["reason"]
                assert house.topics(job_id).count("video.ranges.completed") == 1
                assert len(house.detail(job_id).dead_letters) == 1

        run(test())

    def test_what_a_replay_brings_later_is_not_in_the_results_and_told_so(self, tmp_path: Path) -> None:
        async def test() -> None:
            whole = write_clip(tmp_path / "whole.mp4", frames=60)
            clip = damage(whole, tmp_path / "clip.mp4", range(22, 30))
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                await house.finish(job_id)
                before = house.backends.objects.get(results_key(job_id))
                (letter,) = house.detail(job_id).dead_letters
                house.backends.objects.put(house.detail(job_id).job.input_path, whole.read_bytes())
                analyzer.opened.cache_clear()  # as in a new process
                house.backends.ledger.commit(Work(replay=letter.dead_letter_id))
                while await house.step():
                    pass
                assert house.detail(job_id).job.status is JobStatus.COMPLETED
                assert house.backends.objects.get(results_key(job_id)) == before
                (missing,) = house.detail(job_id).details["missing_frames"]
                assert missing["reason"] == "analysed only after the results were written"
                assert house.topics(job_id).count("video.ranges.completed") == 1

        run(test())

    def test_without_one_usable_frame_the_job_says_why(self, tmp_path: Path) -> None:
        async def test() -> None:
            whole = write_clip(tmp_path / "whole.mp4", frames=60)
            clip = damage(whole, tmp_path / "clip.mp4", [number for number in range(60) if number % 10 > 1])
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                job = await house.finish(job_id)
                assert job.status is JobStatus.FAILED
                assert job.error_message is not None
                assert job.error_message.startswith("no frame of the video could be analysed; first reason: ")
                assert house.topics(job_id).count("video.ranges.completed") == 1
                assert house.topics(job_id).count("job.failed") == 1
                assert not house.backends.objects.exists(results_key(job_id))
                assert house.jobs.progress(job) < 1.0

        run(test())


class TestMessages:
    @pytest.mark.parametrize("seed", range(4))
    def test_doubled_lost_and_disordered_change_nothing(self, tmp_path: Path, seed: int) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4", frames=60)
            faults = Faults(duplicate=1.0 if seed < 2 else 0.5, reorder=0.5, lose=0.0 if seed < 2 else 0.3)
            async with open_house(tmp_path / "data", faults=faults, seed=seed) as house:
                job_id = await house.submit(clip, pipeline_id="shots+quality")
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                topics = house.topics(job_id)
                assert topics.count("video.range.ready") == 6
                assert topics.count("video.ranges.completed") == topics.count("job.completed") == 1
                assert results(house, job_id) == whole_run(clip, "shots+quality")
                for _ in range(5):
                    house.clock.advance(400)
                    await house.step()
                    await house.backends.sweeper(house.relay).sweep()
                assert house.topics(job_id) == topics
                assert house.detail(job_id).dead_letters == []

        run(test())

    def test_two_mergers_write_the_same_bytes_once(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4", frames=60)
            async with open_house(tmp_path / "data", faults=Faults()) as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                while await house.step(PLANS, RANGES, f"{RANGES}.batch"):
                    pass
                await house.relay.publish_batch()
                (delivery,) = await house.backends.broker.receive(ENDS, limit=1, wait_seconds=0)
                await house.backends.broker.publish([delivery.message])
                (copy,) = await house.backends.broker.receive(ENDS, limit=1, wait_seconds=0)
                subscription = next(s for s in house.backends.catalogue.subscriptions if s.queue == ENDS)
                handling = house.backends.handling(house.threads)
                await asyncio.gather(*(handling.handle(subscription, one) for one in (delivery, copy)))
                assert results(house, job_id) == whole_run(clip)
                assert house.topics(job_id).count("job.completed") == 1
                keys = set(house.backends.objects.keys(f"jobs/{job_id}/"))
                named = {a.result["key"] for a in house.backends.ledger.assets(job_id, RANGES_STAGE) if a.result}
                assert keys == {results_key(job_id), *named}

        run(test())

    def test_a_merge_after_a_crash_adopts_what_is_there(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4", frames=60)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                while await house.step(PLANS, RANGES, f"{RANGES}.batch"):
                    pass
                house.backends.objects.put(results_key(job_id), b"a torn leftover")
                job = await house.finish(job_id)
                assert job.status is JobStatus.COMPLETED
                assert results(house, job_id) == whole_run(clip)

        run(test())


class TestCancel:
    def test_in_the_middle_leaves_nothing_at_work(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4", frames=60)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, pipeline_id="quality")
                await house.step(PLANS)
                await asyncio.to_thread(house.jobs.cancel, job_id)
                while await house.step():
                    pass
                assert not await house.backends.broker.holds(job_id, [PLANS, RANGES, ENDS, f"{RANGES}.batch"])
                assert house.topics(job_id)[-1] == "job.cancelled"
                assert not house.backends.objects.exists(results_key(job_id))

        run(test())
