"""A small run of the match pipeline under fire; `python -m tests.chaos.match` makes one of full size."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.match import run


def test_match_jobs_complete_each_stage_once_and_lose_nothing(tmp_path: Path) -> None:
    figures = run(tmp_path, products=20, videos=5, seconds=6)
    assert figures.spoiled_frames >= 1
