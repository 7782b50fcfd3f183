"""A server and workers whose messages go through Redis: the real runtime on a real Valkey."""

from __future__ import annotations

from pathlib import Path

from tests.clips import write_clip
from tests.e2e.commands import reelwork
from tests.e2e.over_a_broker import assert_a_job_goes_from_one_machine_to_others_and_back
from tests.valkey import fresh_url, shared_server


def test_a_job_goes_from_one_machine_to_others_and_back(tmp_path: Path) -> None:
    assert_a_job_goes_from_one_machine_to_others_and_back(fresh_url(), tmp_path)


def test_the_doctor_finds_the_broker_or_says_that_it_is_away_and_never_tells_the_password(tmp_path: Path) -> None:
    data, url = ["--data", tmp_path / "data"], fresh_url()
    fine = reelwork("doctor", *data, "--json", environment={"REELWORK_BROKER_URL": url})
    away = url.replace(f":{shared_server().port}/", ":1/")
    broken = reelwork("doctor", *data, "--json", environment={"REELWORK_BROKER_URL": away})
    assert "s3cret" not in fine.stdout + fine.stderr + broken.stdout + broken.stderr
    assert "redis://:***@127.0.0.1" in fine.stdout
    assert "does not answer" in broken.stdout
    assert (fine.status, broken.status) == (0, 1)


def test_a_run_without_a_server_leaves_the_broker_of_the_environment_alone(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=20, size=(96, 64), keyframe_interval=10, bframes=0)
    away = {"REELWORK_BROKER_URL": "redis://127.0.0.1:1"}
    ended = reelwork("analyze", clip, "--pipeline-id", "quality", "--json", environment=away)
    assert ended.status == 0, ended
