"""A completed job that lacks frames says so, to a person and to a script."""

from __future__ import annotations

from reelwork.cli.job_view import missing_views, short_document

MISSING = {"start": 0, "end": 50, "frames": 50, "reason": "frames from 7 on cannot be decoded"}


def job(**fields: object) -> dict[str, object]:
    known = {"job_id": "a", "status": "completed", "progress": 1.0, "error_message": None, "details": {}}
    return {**known, **fields}


def test_missing_frames_are_told() -> None:
    lacking = job(details={"frames": 100, "missing_frames": [MISSING]})
    assert short_document(lacking)["missing_frames"] == [MISSING]
    (line,) = missing_views(lacking)
    assert line.plain == "missing: 50 frames in [0, 50): frames from 7 on cannot be decoded"


def test_a_whole_job_has_nothing_more_to_say() -> None:
    assert short_document(job()) == {"job_id": "a", "status": "completed", "progress": 1.0}
    assert list(missing_views(job(details={"missing_frames": []}))) == []


def test_the_error_of_a_failed_job_is_told() -> None:
    assert short_document(job(status="failed", error_message="torn"))["error"] == "torn"
