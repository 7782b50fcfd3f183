"""Contracts are validated both ways, names are those of the design, and identities are stable."""

import asyncio
import json
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from reelwork.errors import ContractViolation
from reelwork.events import (
    CATALOGUE,
    VALIDATORS,
    SegmentUploaded,
    VideoRangeReady,
    VideoRangesBatch,
    VideosKeyframesReady,
    VideosKeyframesReadyBatch,
    VideoSubmitted,
    completion_event_id,
    json_schema,
    parse_event,
    validate_event,
)

EVENT_ID = "6f1f0f5e-5f7c-4c1e-9a55-0d9ce1b8b001"
JOB_ID = "0f5b3a8e-7a51-4e29-8c39-3d3f4ad3c001"


def test_the_submitted_event_is_exactly_the_job_id() -> None:
    assert json.loads(VideoSubmitted(job_id=JOB_ID).body()) == {"job_id": JOB_ID}


def test_every_topic_has_a_schema_with_underscores() -> None:
    assert set(VALIDATORS) == {event.topic.replace(".", "_") for event in CATALOGUE}
    assert "video_ranges_batch" in VALIDATORS


@pytest.mark.parametrize("event_type", CATALOGUE)
def test_every_property_of_a_contract_is_required(event_type: type) -> None:
    schema = json_schema(event_type)
    assert sorted(schema["required"]) == sorted(schema["properties"])
    if event_type is not SegmentUploaded:  # it is S3's, which may add to it
        assert schema["additionalProperties"] is False


class TestParsing:
    def test_a_body_becomes_its_event_again(self) -> None:
        event = VideoRangeReady(job_id=JOB_ID, event_id=EVENT_ID, range_index=3, start=10, end=20)
        assert parse_event("video.range.ready", event.body()) == event

    @pytest.mark.parametrize(
        ("topic", "body", "reason"),
        [
            ("video.ranges.batch", "not json", "Invalid JSON"),
            ("video.ranges.batch", "[]", "body"),
            ("video.ranges.batch", json.dumps({"job_id": JOB_ID, "event_id": EVENT_ID}), "total_ranges"),
            (
                "video.ranges.batch",
                json.dumps({"job_id": JOB_ID, "event_id": EVENT_ID, "total_ranges": -1}),
                "greater than or equal to 0",
            ),
            (
                "video.ranges.batch",
                json.dumps({"job_id": JOB_ID, "event_id": EVENT_ID, "total_ranges": True}),
                "total_ranges",
            ),
            (
                "video.ranges.batch",
                json.dumps({"job_id": JOB_ID, "event_id": EVENT_ID, "total_ranges": "8"}),
                "total_ranges",
            ),
            ("video.submitted", json.dumps({"job_id": JOB_ID, "more": 1}), "more"),
            ("video.submitted", json.dumps({"job_id": "../../etc"}), "job_id"),
            (
                "video.range.ready",
                json.dumps({"job_id": JOB_ID, "event_id": EVENT_ID, "range_index": 0, "start": 5, "end": 5}),
                "greater than start",
            ),
            ("video.unheard.of", "{}", "no contract"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_the_reason(self, topic: str, body: str, reason: str) -> None:
        with pytest.raises(ContractViolation, match=reason):
            parse_event(topic, body)


class TestIdentity:
    def test_a_completion_has_the_id_of_the_design(self) -> None:
        expected = uuid5(NAMESPACE_URL, f"reelwork:{JOB_ID}/video.ranges")
        assert completion_event_id(JOB_ID, "video.ranges") == expected

    def test_an_event_without_an_id_of_its_own_is_the_only_one_of_its_job(self) -> None:
        assert VideoSubmitted(job_id=JOB_ID).identity == VideoSubmitted(job_id=JOB_ID).identity

    def test_an_announcement_keeps_the_id_it_was_given(self) -> None:
        event = VideoRangesBatch(job_id=JOB_ID, event_id=EVENT_ID, total_ranges=8)
        assert event.identity == UUID(EVENT_ID)
        assert event.expected == 8


def test_asset_ids_sort_like_their_ranges() -> None:
    ids = [
        VideoRangeReady(job_id=JOB_ID, event_id=EVENT_ID, range_index=n, start=n, end=n + 1).asset_id
        for n in (0, 9, 10, 99, 100, 12_345)
    ]
    assert ids == sorted(ids)


class TestMatchTopics:
    @pytest.mark.parametrize(
        "topic",
        [
            "products.collect.request",
            "videos.search.request",
            "products.images.ready.batch",
            "products.image.ready",
            "videos.keyframes.ready.batch",
            "videos.keyframes.ready",
            "products.collections.completed",
            "videos.collections.completed",
            "products.image.masked",
            "video.keyframes.masked",
            "products.images.masked.batch",
            "video.keyframes.masked.batch",
            "image.embedding.ready",
            "video.embedding.ready",
            "image.keypoint.ready",
            "video.keypoint.ready",
            "image.embeddings.completed",
            "video.embeddings.completed",
            "image.keypoints.completed",
            "video.keypoints.completed",
            "match.request",
            "match.result",
            "match.request.completed",
            "evidences.generation.completed",
        ],
    )
    def test_every_topic_of_the_design_has_its_contract(self, topic: str) -> None:
        assert VALIDATORS[topic.replace(".", "_")].topic == topic

    @pytest.mark.parametrize(("name", "total"), [("images", "total_images"), ("keyframes", "total_frames")])
    def test_a_batch_is_exactly_its_total(self, name: str, total: str) -> None:
        owner = {"images": "products", "keyframes": "videos"}[name]
        body = {"job_id": JOB_ID, "event_id": EVENT_ID, total: 0}
        event = parse_event(f"{owner}.{name}.ready.batch", json.dumps(body))
        assert json.loads(event.body()) == body
        with pytest.raises(ContractViolation, match=total):
            parse_event(f"{owner}.{name}.ready.batch", json.dumps({**body, total: -1}))

    def test_the_frames_of_two_videos_are_different_assets(self) -> None:
        one, other = (keyframes(video_id, frames=2).assets() for video_id in ("one", "other"))
        assert [asset.asset_id for asset in (*one, *other)] == ["one/0", "one/1", "other/0", "other/1"]

    @pytest.mark.parametrize("name", ["", "a/b", "a\nb", "x" * 101])
    def test_a_name_that_could_not_be_told_from_another_is_refused(self, name: str) -> None:
        body = json.dumps({**json.loads(keyframes("clip", frames=1).body()), "video_id": name})
        with pytest.raises(ContractViolation, match="video_id"):
            parse_event("videos.keyframes.ready", body)

    def test_a_message_has_fifty_frames_at_most(self) -> None:
        body = json.loads(keyframes("clip", frames=50).body())
        body["frames"].append(body["frames"][0])
        with pytest.raises(ContractViolation, match="frames"):
            parse_event("videos.keyframes.ready", json.dumps(body))


class TestValidateEvent:
    BODY: ClassVar = {"job_id": JOB_ID, "event_id": EVENT_ID, "total_frames": 7}

    @pytest.mark.parametrize(
        "given",
        [BODY, json.dumps(BODY), json.dumps(BODY).encode(), VideosKeyframesReadyBatch(**BODY)],
        ids=["mapping", "text", "bytes", "event"],
    )
    def test_a_handler_gets_the_event(self, given: object) -> None:
        @validate_event("videos_keyframes_ready_batch")
        def handle_videos_keyframes_ready_batch(event: VideosKeyframesReadyBatch) -> int:
            return event.total_frames

        assert handle_videos_keyframes_ready_batch(given) == 7  # type: ignore[arg-type]

    def test_a_method_and_a_coroutine_too(self) -> None:
        class Handler:
            @validate_event("videos_keyframes_ready_batch")
            async def handle_videos_keyframes_ready_batch(self, event: VideosKeyframesReadyBatch) -> int:
                return event.total_frames

        assert asyncio.run(Handler().handle_videos_keyframes_ready_batch(self.BODY)) == 7  # type: ignore[arg-type]

    @pytest.mark.parametrize("given", [{**BODY, "total_frames": -1}, {}, "no json", 7, VideoSubmitted(job_id="j")])
    def test_what_does_not_fit_never_reaches_it(self, given: object) -> None:
        @validate_event("videos_keyframes_ready_batch")
        def handle(event: object) -> None:
            raise AssertionError(event)

        with pytest.raises(ContractViolation, match=r"videos\.keyframes\.ready\.batch"):
            handle(given)

    def test_an_unknown_contract_is_refused_at_once(self) -> None:
        with pytest.raises(ContractViolation, match="no contract 'videos_keyframes'"):
            validate_event("videos_keyframes")


def keyframes(video_id: str, *, frames: int) -> VideosKeyframesReady:
    shown = [{"frame_id": str(number), "ts": number / 2, "key": f"frames/{number}"} for number in range(frames)]
    return VideosKeyframesReady(job_id=JOB_ID, event_id=EVENT_ID, video_id=video_id, frames=shown)
