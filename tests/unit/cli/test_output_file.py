"""Where nothing can be written is known before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelwork.cli.output_file import make_folder
from reelwork.errors import ConfigurationError


def test_a_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b", option="--out")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/self", "/proc/none/a"])
def test_one_that_takes_no_file_is_refused(folder: str) -> None:
    with pytest.raises(ConfigurationError, match="choose another with --out"):
        make_folder(Path(folder), option="--out")


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConfigurationError, match="File exists"):
        make_folder(tmp_path / "out", option="--out")
