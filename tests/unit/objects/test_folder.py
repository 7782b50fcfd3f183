"""What only a folder of objects does."""

import os
from pathlib import Path

import pytest

from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.objects import open_objects


def test_an_object_is_a_file_that_is_read_where_it_is(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}/my%20objects")
    objects.put("input/a/source.mp4", b"frames")
    assert objects.readable("input/a/source.mp4") == tmp_path / "my objects/input/a/source.mp4"
    assert objects.link("input/a/source.mp4", seconds=60) is None


def test_a_removed_object_takes_its_empty_folders_along(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}")
    objects.put("jobs/a/stages/x/1", b"1")
    objects.put("jobs/b/results.json", b"1")
    objects.delete(["jobs/a/stages/x/1"])
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["b"]


def test_what_a_killed_writer_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}")
    objects.put("input/b/source.mp4", b"whole")
    half = tmp_path / "input" / "a" / "source.mp4#1"
    half.parent.mkdir()
    half.write_bytes(b"half")
    os.utime(half, (1_000, 1_000))
    assert objects.remove_cut_off(before_ms=999_000) == 0
    assert objects.remove_cut_off(before_ms=1_001_000) == 1
    assert sorted(path.name for path in (tmp_path / "input").iterdir()) == ["b"]


@pytest.mark.parametrize("url", ["ftp://host/folder", "folder", "gs://bucket"])
def test_an_unknown_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="use file:///absolute/folder, s3://bucket/prefix"):
        open_objects(url)


def test_a_folder_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not a folder"):
        open_objects("file://host/folder")


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}/objects")
    objects.ping()
    (tmp_path / "objects").rmdir()
    with pytest.raises(StoreUnavailable, match="is gone"):
        objects.ping()


def test_an_unusable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot use the object folder"):
        open_objects(f"file://{tmp_path}/file")
