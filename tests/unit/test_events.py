"""Contracts are validated both ways, names are those of the design, and identities are stable."""

import json
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from reelwork.errors import ContractViolation
from reelwork.events import (
    CATALOGUE,
    VALIDATORS,
    VideoRangeReady,
    VideoRangesBatch,
    VideoSubmitted,
    completion_event_id,
    json_schema,
    parse_event,
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
