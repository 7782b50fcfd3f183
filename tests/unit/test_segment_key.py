"""Keys of segments come from outside: what is not exactly one names none, and never stops a worker."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelwork.errors import ContractViolation
from reelwork.events import MODES, SegmentUploaded, validated
from reelwork.objects.keys import VideoWorkerPayload, parse_segment_key, segment_key

JOB = "0f5b3a8e-7a51-4e29-8c39-3d3f4ad3c001"
BUCKET = "input-bucket"


def notification(key: str, *, name: str = "ObjectCreated:Put", **extra: object) -> str:
    """As S3 sends it, with what is of no use here."""
    stored = {"key": quote_plus(key, safe="/"), "size": 3, "eTag": "d41d8", "sequencer": "0A1B"}
    entity = {"s3SchemaVersion": "1.0", "bucket": {"name": BUCKET, "arn": "arn:aws:s3:::b"}, "object": stored}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "s3": entity}
    return json.dumps({"Records": [record], **extra})


@pytest.mark.parametrize("mode", MODES)
def test_a_key_names_a_segment(mode: str) -> None:
    key = segment_key(JOB, 2, 6, mode)
    assert key == f"segments/{JOB}/00002_00006_{mode}.mp4"
    assert parse_segment_key(BUCKET, key) == VideoWorkerPayload(JOB, 2, 6, f"s3://{BUCKET}/{key}", mode)


@given(
    job_id=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    total=st.integers(1, 99_999),
    data=st.data(),
    mode=st.sampled_from(MODES),
)
def test_what_is_written_is_read(job_id: str, total: int, data: st.DataObject, mode: str) -> None:
    index = data.draw(st.integers(0, total - 1))
    payload = parse_segment_key(BUCKET, segment_key(job_id, index, total, mode))
    assert payload is not None
    assert (payload.job_id, payload.segment_index, payload.total_segments, payload.mode) == (job_id, index, total, mode)


@pytest.mark.parametrize(
    "key",
    [
        f"segments/{JOB}/00000_00006_sbs.mp4\n",  # a newline at the end
        "segments/../00000_00006_sbs.mp4",
        "segments/a/../b/00000_00006_sbs.mp4",
        "segments/a%2Fb/00000_00006_sbs.mp4",  # an encoded slash
        f"segments/{JOB}/٠٠٠٠٠_00006_sbs.mp4",  # digits of another script
        f"segments/{JOB}/00006_00006_sbs.mp4",  # index >= total
        f"segments/{JOB}/00000_00000_sbs.mp4",  # total 0
        f"segments/{JOB}/000000_000006_sbs.mp4",  # six digits
        f"segments/{JOB}/00000_00006_magic.mp4",
        f"segments/{JOB}/00000_00006_.mp4",
        f"segments/{JOB}/00000_00006_SBS.mp4",
        f"segments/{JOB}/00000_00006_sbs.mov",
        f"segments/{'a' * 65}/00000_00006_sbs.mp4",
        "segments//00000_00006_sbs.mp4",
        f"input/{JOB}/source.mp4",
        f"jobs/{JOB}/segments/0.mp4",
        f"/segments/{JOB}/00000_00006_sbs.mp4",
        "",
    ],
)
def test_any_other_key_names_none_and_says_why(key: str) -> None:
    assert parse_segment_key(BUCKET, key) is None
    with pytest.raises(ContractViolation, match=r"segments/JOB_ID|there are sbs|count from 0"):
        validated(SegmentUploaded, notification(key))


@given(st.text(max_size=80))
def test_no_text_raises(key: str) -> None:
    parse_segment_key(BUCKET, key)


@pytest.mark.parametrize(("index", "total", "mode"), [(6, 6, "sbs"), (0, 0, "sbs"), (0, 100_000, "sbs"), (0, 1, "3d")])
def test_a_key_that_would_name_none_is_not_made(index: int, total: int, mode: str) -> None:
    with pytest.raises(ValueError, match="segments/"):
        segment_key(JOB, index, total, mode)  # type: ignore[arg-type]


class TestNotification:
    def test_is_read_as_the_bucket_sends_it(self) -> None:
        key = segment_key("a_b-c", 1, 6, "anaglyph")
        event = validated(SegmentUploaded, notification(key, extra="of no use"))
        assert isinstance(event, SegmentUploaded)
        assert (event.job_id, event.announced, [asset.asset_id for asset in event.assets()]) == ("a_b-c", 6, ["00001"])
        assert event.payload == parse_segment_key(BUCKET, key)

    def test_ours_is_as_the_buckets(self) -> None:
        key = segment_key(JOB, 1, 6, "sbs")
        ours = SegmentUploaded.of(BUCKET, key, size=3, sequencer="0A1B")
        assert set(json.loads(ours.body())) == {"Records"}
        theirs = validated(SegmentUploaded, notification(key))
        assert (ours.identity, ours.payload) == (theirs.identity, theirs.payload)  # type: ignore[attr-defined]

    def test_two_writes_of_a_key_are_two_events(self) -> None:
        key = segment_key(JOB, 1, 6, "sbs")
        first, again, other = (
            SegmentUploaded.of(BUCKET, key, size=3, sequencer=sequencer) for sequencer in ("1", "1", "2")
        )
        assert first.identity == again.identity != other.identity

    @pytest.mark.parametrize(
        "body",
        [
            '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}',
            '{"Records":[]}',
            '{"Records":null}',
            "[]",
            "null",
            notification(f"segments/{JOB}/00000_00006_sbs.mp4", name="ObjectRemoved:Delete"),
            json.dumps({"Records": json.loads(notification(f"segments/{JOB}/00000_00006_sbs.mp4"))["Records"] * 2}),
        ],
    )
    def test_anything_else_breaks_the_contract(self, body: str) -> None:
        with pytest.raises(ContractViolation):
            validated(SegmentUploaded, body)
