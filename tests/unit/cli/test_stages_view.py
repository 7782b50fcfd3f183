"""A person sees of a stage its counters, why it fired, and what is stuck with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from reelwork.cli.output import tell
from reelwork.cli.stages_view import stages_view

FAILED = {"asset_id": "7", "weight": 1, "attempts": 1, "late": True, "error": "torn", "recorded_at": "2026"}
OPEN = {
    "stage": "video.frames",
    "expected": None,
    "done": 3,
    "failed": 1,
    "late": 0,
    "weight": 30,
    "watermark": "due 3 s ago, held back: 4 messages wait in q.x",
    "completed_at": None,
    "fired": None,
    "reasons": [{"cause": "no worker", "found": "nobody takes them", "fix": "start workers", "is_stuck": True}],
    "failed_assets": [FAILED],
}
OVER = {
    **OPEN,
    "stage": "image.masks",
    "expected": 100,
    "watermark": None,
    "completed_at": "2026-01-01",
    "fired": "threshold: 90 of 100 done, 90 % asked",
    "reasons": [],
    "failed": 12,
    "failed_assets": [FAILED] * 12,
}


def told(capsys: pytest.CaptureFixture[str], **fields: Any) -> str:
    standing = {"job_id": "a", "status": "running", "stages": [], "reasons": [], "conflicts": [], **fields}
    tell(*stages_view(standing))
    return " ".join(capsys.readouterr().out.split())


def test_an_open_stage(capsys: pytest.CaptureFixture[str]) -> None:
    words = told(capsys, stages=[OPEN])
    assert "video.frames ? 3 1 0 30" in words
    assert "video.frames: stuck: nobody takes them -> start workers" in words
    assert "video.frames: 7 failed (late): torn" in words


def test_a_complete_stage_and_its_many_failures(capsys: pytest.CaptureFixture[str]) -> None:
    words = told(capsys, stages=[OVER])
    assert "threshold: 90 of" in words
    assert words.count("7 failed (late): torn") == 10
    assert "image.masks: 2 more failed" in words


def test_what_the_job_waits_for_and_conflicts(capsys: pytest.CaptureFixture[str]) -> None:
    reason = {"cause": "phase waits", "found": "phase x waits", "fix": None, "is_stuck": False}
    conflict = {"stage": "image.masks", "expected": 5, "announced": 3, "recorded_at": "2026"}
    words = told(capsys, reasons=[reason], conflicts=[conflict])
    assert "job: phase x waits" in words
    assert "image.masks: announced 3 at 2026, without effect: 5 were announced" in words
