"""What must hold of the image: what goes into it, and that its parts agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

from reelwork.vision.models import MODELS
from tests.infra.locked import ROOT, locked

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
LINES: Final = DOCKERFILE.replace("\\\n", " ").splitlines()
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ").strip() for line in LINES if line.startswith(f"{name} ")]


def copied() -> list[str]:
    """What the build takes from the source tree."""
    own = (line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from"))
    return [source for sources in own for source in sources]


class TestDependencies:
    @pytest.mark.parametrize("lock", ["infra/image/requirements.txt", "infra/image/build-requirements.txt"])
    def test_are_those_that_the_tests_run_with(self, lock: str) -> None:
        tested = locked("requirements.txt")
        assert locked(lock)
        assert all(tested.get(pinned) == hashes for pinned, hashes in locked(lock).items()), "run `make lock`"

    def test_are_all_that_the_package_asks_for(self) -> None:
        extras = {extra for asked in PROJECT["optional-dependencies"]["all"] for extra in Requirement(asked).extras}
        asked = [
            *PROJECT["dependencies"],
            *(line for extra in extras for line in PROJECT["optional-dependencies"][extra]),
        ]
        wanted = {Requirement(line).name for line in asked} - {PROJECT["name"]}
        assert wanted <= {name for name, _ in locked("infra/image/requirements.txt")}, "run `make lock`"

    def test_no_installation_goes_without_hashes_or_an_index(self) -> None:
        installs = re.findall(r"pip install (.*?)(?: &&|$)", " ".join(instructions("RUN")).replace("  ", " "))
        assert installs
        assert all("--require-hashes --only-binary :all:" in each or "--no-index" in each for each in installs), (
            installs
        )


class TestContext:
    def test_has_all_that_the_build_copies(self) -> None:
        rules = [
            line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
        ]
        assert rules[0] == "*"
        let_in = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
        for source in copied():
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, rule) for rule in let_in), source

    def test_the_wheel_holds_every_file_of_the_package(self, tmp_path: Path) -> None:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
        (wheel,) = tmp_path.glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            packed = {name for name in opened.namelist() if name.startswith("reelwork/")}
        files = (path for path in (ROOT / "src" / "reelwork").rglob("*") if path.is_file())
        assert packed == {str(path.relative_to(ROOT / "src")) for path in files if "__pycache__" not in path.parts}


class TestRunning:
    def test_runs_as_nobody_in_particular_and_without_a_shell(self) -> None:
        assert instructions("USER") == ["10001:10001"]
        assert instructions("ENTRYPOINT") == ['["reelwork"]']
        assert instructions("CMD") == ['["serve", "--host", "0.0.0.0"]']

    def test_one_port_answers_for_the_health_of_servers_and_workers(self) -> None:
        assert instructions("EXPOSE") == ["8000"]
        assert "REELWORK_METRICS_PORT=8000" in DOCKERFILE
        assert "http://127.0.0.1:8000/healthz" in " ".join(instructions("HEALTHCHECK"))

    def test_brings_weights_that_exist(self) -> None:
        (models,) = re.findall(r'^ARG MODELS="(.*)"$', DOCKERFILE, re.MULTILINE)
        assert set(models.split()) <= set(MODELS)

    def test_is_of_this_version(self) -> None:
        assert f"ARG VERSION={PROJECT['version']}" in DOCKERFILE
        for path in ("infra/pvm/compose.yaml", "infra/k8s/base/api.yaml"):
            assert set(re.findall(r"reelwork:(\d[\w.]*)", (ROOT / path).read_text())) == {PROJECT["version"]}
