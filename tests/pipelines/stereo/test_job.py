"""The whole stereo job in one process: every frame at its time, the source's sound, one end, whatever goes wrong."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from reelwork.broker import Faults
from reelwork.errors import PermanentError
from reelwork.events import SegmentUploaded
from reelwork.ledger import AssetState, JobStatus, Work
from reelwork.objects.keys import build_output_segment_key, final_key, results_key, segment_key
from reelwork.pipelines.stereo.models.shift import ramp
from reelwork.pipelines.stereo.pipeline import pipeline
from reelwork.vision.stereo import LAYOUTS, render_views
from tests.clips import SOUND_CLIPS, variable_rate_clip, write_clip
from tests.pipelines.video_house import VideoHouse, open_video_house, run

JOBS, PLANNED = "q.chunking_worker.jobs", "q.chunking_worker.segments.planned"
SEGMENTS, TOTALS = "q.video_worker.segments", "q.video_worker.segments.batch"
ENDS = "q.media_worker.segments.completed"
BEFORE_THE_END = (JOBS, PLANNED, SEGMENTS, TOTALS)
SHORT = {"segment_seconds": 0.3, "model": "shift"}


def open_house(folder: Path, *, faults: Faults | None = None, seed: int = 0) -> AbstractAsyncContextManager[VideoHouse]:
    return open_video_house(folder, pipeline, faults=faults, seed=seed)


def clip_with_sound(tmp_path: Path, frames: int = 30) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=frames, bframes=2, audio=True)


def final(house: VideoHouse, job_id: str) -> bytes:
    return house.backends.objects.get(final_key(job_id))


def frames_of(data: bytes) -> list[tuple[float, Any]]:
    with av.open(io.BytesIO(data)) as container:
        return [(frame.time, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def sound_of(data: bytes) -> list[tuple[float, bytes]]:
    with av.open(io.BytesIO(data)) as container:
        packets = [packet for stream in container.streams.audio for packet in container.demux(stream) if packet.size]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]


def turned_odd_clip(path: Path, *, width: int, height: int) -> Path:
    """A quarter turn is asked for in its header; its colours have no half resolution."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.set_display_rotation(90)
        for number in range(30):
            picture = np.full((height, width, 3), number * 5, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


async def settle(house: VideoHouse, *queues: str) -> None:
    while await house.step(*queues):
        pass


def told_once(house: VideoHouse, job_id: str) -> None:
    topics = house.topics(job_id)
    for topic in ("segments.completed", "reassembly.completed", "job.completed"):
        assert topics.count(topic) == 1, topic


class TestResult:
    @pytest.mark.parametrize("mode", ["sbs", "sbs-half", "anaglyph"])
    def test_every_frame_at_its_time_and_the_sound_of_the_source(self, tmp_path: Path, mode: str) -> None:
        async def test() -> None:
            clip = clip_with_sound(tmp_path)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, mode=mode, **SHORT)
                job = await house.finish(job_id)
                assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
                made, source = frames_of(final(house, job_id)), frames_of(clip.read_bytes())
                assert [time for time, _ in made] == pytest.approx([time for time, _ in source], abs=1e-6)
                for (_, picture), (_, before) in zip(made, source, strict=True):
                    wanted = LAYOUTS[mode](*render_views(before, ramp(*before.shape[:2])))
                    assert np.abs(picture.astype(int) - wanted.astype(int)).mean() < 4
                assert sound_of(final(house, job_id)) == sound_of(clip.read_bytes())
                told_once(house, job_id)
                stages = {stage.status.stage: stage.status for stage in house.detail(job_id).stages}
                assert (stages["segments"].expected, stages["segments"].done) == (3, 3)

        run(test())

    @pytest.mark.parametrize(
        "name", ["bframes.mkv", "variable-rate.mp4", "open-gop.mp4", "late-start.ts", "one-frame.mp4", "vp9.webm"]
    )
    def test_of_any_kind_of_clip(self, tmp_path: Path, name: str) -> None:
        async def test() -> None:
            clip = SOUND_CLIPS[name](tmp_path / name)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, **SHORT)
                assert (await house.finish(job_id)).status is JobStatus.COMPLETED
                made, source = frames_of(final(house, job_id)), frames_of(clip.read_bytes())
                assert [time for time, _ in made] == pytest.approx([time for time, _ in source], abs=1e-3)

        run(test())

    def test_an_odd_size_and_a_turn(self, tmp_path: Path) -> None:
        async def test() -> None:
            turned = turned_odd_clip(tmp_path / "turned.mp4", width=65, height=47)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(turned, mode="anaglyph", **SHORT)
                assert (await house.finish(job_id)).status is JobStatus.COMPLETED
                shapes = {picture.shape for _, picture in frames_of(final(house, job_id))}
                assert shapes == {(66, 48, 3)}  # 65 high and 47 wide once it is turned

        run(test())

    def test_a_stub_says_that_it_converts_nothing(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = clip_with_sound(tmp_path)
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip, **{**SHORT, "model": "stub"})
                await house.finish(job_id)
                (account,) = json.loads(house.backends.objects.get(results_key(job_id)))
                assert (account["is_converted"], account["frames"], account["model"]) == (False, 30, "stub")
                pairs = zip(frames_of(final(house, job_id)), frames_of(clip.read_bytes()), strict=True)
                assert all(np.array_equal(made, source) for (_, made), (_, source) in pairs)

        run(test())

    def test_what_is_recorded_of_a_segment(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                await house.finish(job_id)
                first, *_ = house.backends.ledger.assets(job_id, "segments", states=[AssetState.DONE])
                assert first.result is not None
                assert first.result["output_s3_uri"] == f"s3://reelwork/{build_output_segment_key(job_id, 0)}"
                assert (first.result["segment_index"], first.result["total_segments"]) == (0, 3)
                assert first.result["completed_at"].endswith("Z")

        run(test())

    def test_a_job_that_names_no_model_gets_that_of_the_setting(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            clip = write_clip(tmp_path / "clip.mp4")
            async with open_house(tmp_path / "data") as house:
                assert house.backends.ledger.job(await house.submit(clip)).parameters["model"] == "stub"
                monkeypatch.setenv("MODEL", "shift")
                assert house.backends.ledger.job(await house.submit(clip)).parameters["model"] == "shift"
                monkeypatch.setenv("MODEL", "stereocrafter")
                with pytest.raises(PermanentError, match="'stereocrafter'; there are: stub, shift, depth"):
                    await house.submit(clip)

        run(test())


class TestMessages:
    @pytest.mark.parametrize("seed", range(4))
    def test_doubled_lost_and_disordered_change_nothing(self, tmp_path: Path, seed: int) -> None:
        async def test() -> None:
            clip = clip_with_sound(tmp_path, frames=60)
            faults = Faults(duplicate=1.0 if seed < 2 else 0.5, reorder=0.5, lose=0.0 if seed < 2 else 0.3)
            async with open_house(tmp_path / "data", faults=faults, seed=seed) as house:
                job_id = await house.submit(clip, **SHORT)
                assert (await house.finish(job_id)).status is JobStatus.COMPLETED
                told_once(house, job_id)
                assert len(frames_of(final(house, job_id))) == 60
                topics = house.topics(job_id)
                for _ in range(5):
                    house.clock.advance(400)
                    await house.step()
                    await house.backends.sweeper(house.relay).sweep()
                assert house.topics(job_id) == topics
                assert house.detail(job_id).dead_letters == []

        run(test())

    def test_each_segment_says_how_many_there_are(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                await settle(house, JOBS, PLANNED, SEGMENTS)  # nobody hears the announcement
                assert house.topics(job_id).count("segments.completed") == 1

        run(test())

    def test_two_workers_on_one_segment(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data", faults=Faults()) as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                await settle(house, JOBS, PLANNED)
                await house.relay.publish_batch()
                (first,) = await house.backends.broker.receive(SEGMENTS, limit=1, wait_seconds=0)
                await house.backends.broker.publish([first.message._replace(queue=SEGMENTS)])
                others = await house.backends.broker.receive(SEGMENTS, limit=9, wait_seconds=0)
                copy = next(one for one in others if one.message.event_id == first.message.event_id)
                subscription = next(s for s in house.backends.catalogue.subscriptions if s.queue == SEGMENTS)
                handling = house.backends.handling(house.threads)
                await asyncio.gather(*(handling.handle(subscription, one) for one in (first, copy)))
                for one in others:
                    await one.release()
                assert (await house.finish(job_id)).status is JobStatus.COMPLETED
                told_once(house, job_id)

        run(test())

    def test_a_retry_cuts_where_the_first_try_did(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                await settle(house, JOBS)
                (delivery,) = await house.backends.broker.receive(PLANNED, limit=1, wait_seconds=0)
                objects = house.backends.objects
                objects.put(segment_key(job_id, 0, 3, "sbs"), b"the first try came so far")
                await delivery.release()
                assert (await house.finish(job_id)).status is JobStatus.COMPLETED
                assert len(frames_of(final(house, job_id))) == 30

        run(test())


class TestFailure:
    def test_a_segment_that_fails_for_good_fails_the_job_by_name_and_its_replay_finishes_it(
        self, tmp_path: Path
    ) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                await settle(house, JOBS, PLANNED)
                objects, key = house.backends.objects, segment_key(job_id, 1, 3, "sbs")
                whole = objects.get(key)
                objects.put(key, b"no video")
                job = await house.finish(job_id)
                assert job.status is JobStatus.FAILED
                assert job.error_message is not None
                assert "00001" in job.error_message
                assert "not a video" in job.error_message
                assert "segments.completed" not in house.topics(job_id)
                assert not objects.exists(final_key(job_id))
                objects.put(key, whole)
                (letter,) = house.detail(job_id).dead_letters
                house.backends.ledger.commit(Work(replay=letter.dead_letter_id))
                assert (await house.finish_again(job_id)).status is JobStatus.COMPLETED
                told_once(house, job_id)
                assert len(frames_of(final(house, job_id))) == 30

        run(test())

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (SOUND_CLIPS["edited.mp4"], "edit list"),
            (SOUND_CLIPS["hidden-frame.webm"], "vp8 pictures"),
        ],
    )
    def test_a_video_that_cannot_be_cut_says_why(self, tmp_path: Path, make: Any, reason: str) -> None:
        async def test() -> None:
            clip = make(tmp_path / f"clip{'.webm' if 'vp8' in reason else '.mp4'}")
            async with open_house(tmp_path / "data") as house:
                job = await house.finish(await house.submit(clip, **SHORT))
                assert job.status is JobStatus.FAILED
                assert job.error_message is not None
                assert reason in job.error_message

        run(test())

    def test_an_unknown_model_is_refused_at_submit(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data") as house:
                with pytest.raises(PermanentError, match="stub, shift, depth"):
                    await house.submit(write_clip(tmp_path / "clip.mp4"), model="magic")

        run(test())

    def test_a_cancelled_job_does_not_come_back_to_life(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                await settle(house, JOBS, PLANNED)
                await asyncio.to_thread(house.jobs.cancel, job_id)
                key = segment_key(job_id, 0, 3, "sbs")
                late = SegmentUploaded.of("reelwork", key, size=1, sequencer="FF")
                house.backends.ledger.commit(Work(events=[late]))
                await settle(house)
                assert house.backends.ledger.job(job_id).status is JobStatus.CANCELLED
                assert not house.backends.objects.exists(final_key(job_id))
                assert "segments.completed" not in house.topics(job_id)

        run(test())


class TestFinalVideo:
    def test_two_media_workers_write_the_same_bytes_once(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data", faults=Faults()) as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                await settle(house, *BEFORE_THE_END)
                await house.relay.publish_batch()
                (delivery,) = await house.backends.broker.receive(ENDS, limit=1, wait_seconds=0)
                await house.backends.broker.publish([delivery.message._replace(queue=ENDS)])
                (copy,) = await house.backends.broker.receive(ENDS, limit=1, wait_seconds=0)
                subscription = next(s for s in house.backends.catalogue.subscriptions if s.queue == ENDS)
                handling = house.backends.handling(house.threads)
                await asyncio.gather(*(handling.handle(subscription, one) for one in (delivery, copy)))
                await house.finish(job_id)
                told_once(house, job_id)
                assert len(frames_of(final(house, job_id))) == 30
                left = list(house.backends.objects.keys(f"jobs/{job_id}/stages/"))
                assert left == []

        run(test())

    def test_one_that_is_there_already_is_replaced_by_the_right_one(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path / "data") as house:
                job_id = await house.submit(clip_with_sound(tmp_path), **SHORT)
                house.backends.objects.put(final_key(job_id), b"a torn leftover")
                assert (await house.finish(job_id)).status is JobStatus.COMPLETED
                assert len(frames_of(final(house, job_id))) == 30

        run(test())

    def test_the_same_video_gives_the_same_bytes(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = variable_rate_clip(tmp_path / "clip.mp4")
            async with open_house(tmp_path / "data") as house:
                jobs = [await house.submit(clip, **SHORT) for _ in range(2)]
                one, other = [final(house, job_id) for job_id in jobs if await house.finish(job_id)]
                assert one == other

        run(test())
