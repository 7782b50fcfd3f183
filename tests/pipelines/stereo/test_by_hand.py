"""Segments that come before their job, without one, or before the chunking-worker has written down where it cuts."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import av
import pytest

from reelwork.broker import Delivery, Faults
from reelwork.errors import InvalidWork, JobNotFound
from reelwork.events import SegmentUploaded
from reelwork.ledger import JobStatus, NewJob, Work
from reelwork.ledger.work import outgoing
from reelwork.media import cut_segments, plan_cuts
from reelwork.objects.keys import final_key, input_key, segment_key, stereo_plan_key
from reelwork.pipelines.stereo.pipeline import pipeline
from tests.clips import variable_rate_clip, write_clip
from tests.pipelines.video_house import VideoHouse, open_video_house, run

JOB = "made-by-hand"
JOBS, PLANNED, SEGMENTS = "q.chunking_worker.jobs", "q.chunking_worker.segments.planned", "q.video_worker.segments"
COMPLETIONS = ("segments.completed", "reassembly.completed", "job.completed")
SHORT = {"segment_seconds": 0.3, "model": "shift"}


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "shift")


def clip_in(folder: Path, *, frames: int = 30) -> Path:
    return write_clip(folder / "clip.mp4", frames=frames, bframes=2, audio=True)


def upload(house: VideoHouse, clip: Path, *, job_id: str = JOB, seconds: float = 0.3) -> list[SegmentUploaded]:
    """What a bucket says of the segments of a clip that somebody puts into it."""
    plan = plan_cuts(clip, target_seconds=seconds)
    said = []
    for segment_index, data in cut_segments(clip, plan):
        key = segment_key(job_id, segment_index, len(plan.segments), "sbs")
        house.backends.objects.put(key, data)
        said.append(SegmentUploaded.of("bucket", key, size=len(data), sequencer="A"))
    return said


def tell(house: VideoHouse, events: Sequence[SegmentUploaded]) -> None:
    house.backends.ledger.commit(Work(events=events))


async def settle(house: VideoHouse, *queues: str) -> None:
    while await house.step(*queues):
        pass


def told_once(house: VideoHouse, job_id: str) -> None:
    topics = house.topics(job_id)
    assert {topic: topics.count(topic) for topic in COMPLETIONS} == dict.fromkeys(COMPLETIONS, 1)


def times_of(data: bytes) -> list[float]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.time for frame in container.decode(video=0)]


def sound_of(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data)) as container:
        return [bytes(packet) for s in container.streams.audio for packet in container.demux(s) if packet.size]


class TestOfAnUnknownJob:
    @pytest.mark.parametrize("has_source", [True, False])
    def test_the_first_makes_it_and_the_last_has_it_joined_once(self, tmp_path: Path, has_source: bool) -> None:
        async def test() -> None:
            clip = clip_in(tmp_path)
            async with open_video_house(
                tmp_path / "data", pipeline, faults=Faults(duplicate=0.5, reorder=0.5)
            ) as house:
                if has_source:
                    house.backends.objects.put(input_key(JOB), clip.read_bytes())
                *others, last = upload(house, clip)[::-1]
                tell(house, others)
                await settle(house)
                job = house.jobs.job(JOB)
                assert (job.status, job.pipeline, job.phase) == (JobStatus.RUNNING, "stereo", "conversion")
                assert 0.5 < house.jobs.progress(job) < 0.7
                assert "segments.completed" not in house.topics(JOB)
                tell(house, [last])
                job = await house.finish(JOB)
                assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
                made = house.backends.objects.get(final_key(JOB))
                assert times_of(made) == pytest.approx(times_of(clip.read_bytes()), abs=1e-6)
                assert sound_of(made) == (sound_of(clip.read_bytes()) if has_source else [])
                told_once(house, JOB)
                assert house.detail(JOB).conflicts == []

        run(test())

    @pytest.mark.parametrize("has_source", [True, False])
    def test_its_frames_keep_their_times(self, tmp_path: Path, has_source: bool) -> None:
        async def test() -> None:
            clip = variable_rate_clip(tmp_path / "clip.mp4")
            async with open_video_house(tmp_path / "data", pipeline) as house:
                if has_source:
                    house.backends.objects.put(input_key(JOB), clip.read_bytes())
                tell(house, upload(house, clip))
                assert (await house.finish(JOB)).status is JobStatus.COMPLETED
                made, source = times_of(house.backends.objects.get(final_key(JOB))), times_of(clip.read_bytes())
                if not has_source:  # nobody knows how long the last frame of a segment was shown
                    source = [time - shift for time, shift in zip(source, shifts(source, made), strict=True)]
                assert made == pytest.approx(source, abs=1e-3)

        run(test())

    def test_two_workers_at_once_make_one(self, tmp_path: Path) -> None:
        """Each with a ledger and a broker of its own on one folder, as two processes have."""

        async def test() -> None:
            async with AsyncExitStack() as stack:
                houses = [
                    await stack.enter_async_context(open_video_house(tmp_path / "data", pipeline)) for _ in range(2)
                ]
                tell(houses[0], upload(houses[0], clip_in(tmp_path)))
                taken = [await take(house, 1) for house in houses]
                assert len({delivery.message.event_id for _, delivery in taken}) == 2
                await asyncio.gather(*(handle(house, delivery) for house, delivery in taken))
                assert (await houses[1].finish(JOB)).status is JobStatus.COMPLETED
                told_once(houses[0], JOB)

        run(test())

    def test_a_submit_of_the_same_job_at_once(self, tmp_path: Path) -> None:
        """Whoever comes first has it; the other finds it, or is told."""

        async def test() -> None:
            clip = clip_in(tmp_path)
            async with open_video_house(tmp_path / "data", pipeline) as house:
                job_id = uuid4()
                tell(house, upload(house, clip, job_id=str(job_id)))
                house.backends.objects.put(input_key(str(job_id)), clip.read_bytes())
                submitted = asyncio.to_thread(
                    house.jobs.create,
                    "stereo",
                    job_id=job_id,
                    input_path=input_key(str(job_id)),
                    parameters={"mode": "sbs", **SHORT},
                )
                results = await asyncio.gather(submitted, house.step(SEGMENTS), return_exceptions=True)
                assert all(not isinstance(result, BaseException) or type(result) is InvalidWork for result in results)
                assert (await house.finish(str(job_id))).status is JobStatus.COMPLETED
                await settle(house)
                told_once(house, str(job_id))

        run(test())

    def test_a_segment_that_is_gone_makes_none(self, tmp_path: Path) -> None:
        """It may be left over from a job that was removed long ago."""

        async def test() -> None:
            async with open_video_house(tmp_path / "data", pipeline) as house:
                first, *_ = upload(house, clip_in(tmp_path))
                house.backends.objects.delete([first.key])
                tell(house, [first])
                for _ in range(8):
                    await settle(house)
                    house.clock.advance(100)
                with pytest.raises(JobNotFound):
                    house.jobs.job(JOB)
                (letter,) = house.backends.ledger.dead_letters(JOB)
                assert f"there is no object {first.key}" in letter.error

        run(test())

    def test_segments_that_are_not_of_the_source_fail_it_with_the_reason(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_video_house(tmp_path / "data", pipeline) as house:
                tell(house, upload(house, clip_in(tmp_path)))
                house.backends.objects.put(input_key(JOB), clip_in(tmp_path, frames=50).read_bytes())
                job = await house.finish(JOB)
                assert job.status is JobStatus.FAILED
                assert job.error_message is not None
                assert "the segments hold 30 frames, the video that they are of 50" in job.error_message

        run(test())

    def test_a_job_of_another_pipeline_is_left_alone(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_video_house(tmp_path / "data", pipeline) as house:
                house.backends.ledger.commit(Work(new_job=NewJob(job_id=JOB, pipeline="analyze", input_path="x")))
                tell(house, upload(house, clip_in(tmp_path)))
                await settle(house)
                detail = house.detail(JOB)
                assert (detail.job.status, list(detail.stages), list(detail.dead_letters)) == (
                    JobStatus.PENDING,
                    [],
                    [],
                )

        run(test())


class TestBeforeTheChunkingWorkerIsDone:
    @pytest.mark.parametrize("handled", [(), (JOBS,)], ids=["not begun", "planned"])
    def test_the_last_segment_completes_the_job_once(self, tmp_path: Path, handled: tuple[str, ...]) -> None:
        async def test() -> None:
            clip = clip_in(tmp_path)
            async with open_video_house(tmp_path / "data", pipeline) as house:
                job_id = await house.submit(clip, **SHORT)
                await settle(house, *handled) if handled else None
                tell(house, upload(house, clip, job_id=job_id))
                ahead = [s.queue for s in house.backends.catalogue.subscriptions if s.queue not in (JOBS, PLANNED)]
                await settle(house, *ahead)
                assert house.jobs.job(job_id).status is JobStatus.COMPLETED
                made = house.backends.objects.get(final_key(job_id))
                await settle(house)  # now the chunking-worker comes
                await house.backends.sweeper(house.relay).sweep()
                assert house.jobs.job(job_id).status is JobStatus.COMPLETED
                told_once(house, job_id)
                assert house.detail(job_id).dead_letters == []
                assert house.backends.objects.get(final_key(job_id)) == made
                assert sound_of(made) == sound_of(clip.read_bytes())

        run(test())

    def test_segments_cut_otherwise_fail_the_job_with_the_reason(self, tmp_path: Path) -> None:
        async def test() -> None:
            clip = clip_in(tmp_path)
            async with open_video_house(tmp_path / "data", pipeline) as house:
                job_id = await house.submit(clip, **SHORT)
                await settle(house, JOBS)
                assert house.backends.objects.exists(stereo_plan_key(job_id))
                tell(house, upload(house, clip, job_id=job_id, seconds=60))
                job = await house.finish(job_id)
                assert job.status is JobStatus.FAILED
                assert job.error_message is not None
                assert "1 segments were converted, and the video was cut into 3" in job.error_message

        run(test())

    @pytest.mark.parametrize("handled", [(), (JOBS,), (JOBS, PLANNED)], ids=["not begun", "planned", "cut"])
    def test_a_cancelled_job_stays_so(self, tmp_path: Path, handled: tuple[str, ...]) -> None:
        async def test() -> None:
            clip = clip_in(tmp_path)
            async with open_video_house(tmp_path / "data", pipeline) as house:
                job_id = await house.submit(clip, **SHORT)
                await settle(house, *handled) if handled else None
                segments = upload(house, clip, job_id=job_id)
                await asyncio.to_thread(house.jobs.cancel, job_id)
                for (
                    event
                ) in segments:  # no event of a cancelled job leaves the ledger, but a bucket knows nothing of it
                    await house.backends.broker.publish([outgoing(event)])
                await settle(house)
                await house.backends.sweeper(house.relay).sweep()
                assert house.jobs.job(job_id).status is JobStatus.CANCELLED
                assert not house.backends.objects.exists(final_key(job_id))
                assert not set(COMPLETIONS) & set(house.topics(job_id))
                assert all(not stage.done for stage in house.backends.ledger.stage_status(job_id))

        run(test())


def shifts(source: Sequence[float], made: Sequence[float], frames: int = 10) -> list[float]:
    """How much earlier each frame comes when each segment begins where the one before seems to end."""
    return [source[number // frames * frames] - made[number // frames * frames] for number in range(len(source))]


async def take(house: VideoHouse, limit: int) -> tuple[VideoHouse, Delivery]:
    await house.relay.publish_batch()
    (delivery,) = await house.backends.broker.receive(SEGMENTS, limit=limit, wait_seconds=0)
    return house, delivery


async def handle(house: VideoHouse, delivery: Delivery) -> None:
    subscription = next(s for s in house.backends.catalogue.subscriptions if s.queue == SEGMENTS)
    await house.backends.handling(house.threads).handle(subscription, delivery)
