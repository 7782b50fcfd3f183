"""What the compose file starts does its work: those whom an analyze job needs, on PostgreSQL, RabbitMQ and S3."""

from __future__ import annotations

from pathlib import Path

from tests.infra.processes import FRAMES, do_a_job


def test_its_commands_with_its_settings_complete_a_job(tmp_path: Path) -> None:
    done = do_a_job(tmp_path, ["planner", "analyzer", "merger"])
    assert (done["status"], done["frames"]) == ("completed", FRAMES)
