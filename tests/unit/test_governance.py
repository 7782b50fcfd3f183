"""Every check of `make check` that is ours fails on a planted violation, and passes on the tree as it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*arguments], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


class TestContracts:
    def check(self, folder: Path) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, "scripts/contracts.py", "--check", "--folder", str(folder))

    def test_the_tree_has_no_drift(self) -> None:
        result = self.check(ROOT / "contracts")
        assert result.returncode == 0, result.stderr

    @pytest.mark.parametrize("violation", ["changed", "removed", "added"])
    def test_drift_is_found(self, tmp_path: Path, violation: str) -> None:
        folder = tmp_path / "contracts"
        shutil.copytree(ROOT / "contracts", folder)
        schema = folder / "schemas" / "video_ranges_batch.json"
        if violation == "changed":
            schema.write_text(schema.read_text().replace("total_ranges", "ranges_total"))
        elif violation == "removed":
            schema.unlink()
        else:
            (folder / "schemas" / "video_unheard_of.json").write_text("{}")
        result = self.check(folder)
        assert result.returncode == 1
        assert "make contracts" in result.stderr


class TestJobTransitions:
    def check(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, "scripts/job_transitions.py", *arguments)

    def test_the_ledger_takes_the_moves_of_the_contract(self) -> None:
        result = self.check()
        assert result.returncode == 0, result.stderr

    @pytest.mark.parametrize(
        ("before", "after", "problem"),
        [
            ("completed", ["running"], "completed -> running is refused"),
            ("pending", ["running"], "pending -> cancelled is taken"),
        ],
    )
    def test_a_move_that_differs_from_the_contract_is_found(
        self, tmp_path: Path, before: str, after: list[str], problem: str
    ) -> None:
        contract = json.loads((ROOT / "contracts" / "job_transitions.json").read_text())
        contract[before] = after
        planted = tmp_path / "job_transitions.json"
        planted.write_text(json.dumps(contract))
        result = self.check("--contract", str(planted))
        assert result.returncode == 1
        assert problem in result.stderr

    def test_a_statement_that_writes_the_status_by_itself_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "shortcut.py").write_text("SQL = 'UPDATE jobs SET updated_at = 1, status = ? WHERE job_id = ?'\n")
        result = self.check("--source", str(tmp_path))
        assert result.returncode == 1
        assert "shortcut.py writes the status of jobs" in result.stderr


class TestImportLayers:
    def check(self, source: Path) -> subprocess.CompletedProcess[str]:
        linter = Path(sys.executable).with_name("lint-imports")
        return run(
            str(linter), "--no-cache", "--config", str(ROOT / "pyproject.toml"), cwd=source, PYTHONPATH=str(source)
        )

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        shutil.copytree(ROOT / "src" / "reelwork", tmp_path / "reelwork", ignore=shutil.ignore_patterns("__pycache__"))
        return tmp_path

    def test_the_tree_keeps_its_layers(self, source: Path) -> None:
        result = self.check(source)
        assert result.returncode == 0, result.stdout

    @pytest.mark.parametrize(
        ("module", "line"),
        [
            ("ledger/rules.py", "import reelwork.broker"),  # rooms on one floor
            ("runtime/relay.py", "import reelwork.api"),  # upwards
            ("settings.py", "import reelwork.events"),  # out of the foundations
        ],
    )
    def test_a_planted_import_is_found(self, source: Path, module: str, line: str) -> None:
        path = source / "reelwork" / module
        path.write_text(f"{path.read_text()}\n{line}\n")
        result = self.check(source)
        assert result.returncode == 1, result.stdout
        assert "BROKEN" in result.stdout


class TestEnvExample:
    def test_it_holds_every_setting_and_the_threshold_first(self) -> None:
        assert run(sys.executable, "scripts/env_example.py", "--check").returncode == 0
        lines = (ROOT / "infra" / "pvm" / ".env.example").read_text().splitlines()
        settings = [line for line in lines if "=" in line and not line.startswith("#")]
        assert settings[:4] == [
            *("POSTGRES_PASSWORD=", "RABBITMQ_PASSWORD=", "S3_SECRET_KEY="),  # of compose.yaml, which insists on them
            "COMPLETION_THRESHOLD_PERCENTAGE=90",
        ]
