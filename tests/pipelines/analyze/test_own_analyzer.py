"""The page "Write your own analyzer" is true: its blocks, taken from the page, are installed and run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from reelwork.errors import ConfigurationError
from reelwork.pipelines.analyze.analyzers import load_analyzers
from tests.pipelines.analyze.conftest import write_pictures

PAGE = Path(__file__).parents[3] / "docs" / "analyzers.md"
MODULE, USE = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
(DECLARATION,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder that `pip install` of the page's package would fill."""
    (tmp_path / "nightfall.py").write_text(MODULE)
    declared = tomllib.loads(DECLARATION)["project"]["entry-points"]["reelwork.analyzers"]
    metadata = tmp_path / "nightfall-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nightfall\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in declared.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[reelwork.analyzers]", *lines, ""]))
    return tmp_path


def test_the_example_runs_joined_with_another_analyzer(installed: Path) -> None:
    write_pictures(installed / "clip.mp4", [np.full((90, 160), 16, np.uint8)] * 3, codec="libx264")
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE],
        cwd=installed,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (child.stderr, child.stdout) == ("", "0 1.0\n")


def test_the_example_is_as_short_as_the_page_says() -> None:
    assert len([line for line in MODULE.splitlines() if line.strip()]) <= 15


def test_an_entry_point_of_another_name_is_refused(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points = installed / "nightfall-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text("[reelwork.analyzers]\ndusk = nightfall:Nightfall\n")
    monkeypatch.syspath_prepend(installed)
    with pytest.raises(ConfigurationError, match="'dusk' must name an Analyzer class of that name"):
        load_analyzers("dusk")


def test_an_analyzer_that_cannot_be_imported_is_refused(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points = installed / "nightfall-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text("[reelwork.analyzers]\ndawn = a_module_that_is_not_here:Dawn\n")
    monkeypatch.syspath_prepend(installed)
    with pytest.raises(ConfigurationError, match=r"'dawn' cannot be loaded: .*a_module_that_is_not_here"):
        load_analyzers("dawn")
