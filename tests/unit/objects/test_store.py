"""Objects are whole or absent, the first writer wins, and nothing is left behind."""

import asyncio
import os
from pathlib import Path

import pytest

from reelwork.errors import ConfigurationError, ObjectExists, ObjectNotFound, StoreUnavailable
from reelwork.objects import ObjectStore, open_objects


@pytest.fixture(params=["file", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_objects(f"file://{tmp_path}/objects" if request.param == "file" else "memory://")


class TestWholeObjects:
    def test_what_is_put_can_be_read(self, objects: ObjectStore) -> None:
        objects.put("jobs/a/results.json", b"[1]")
        objects.put("jobs/a/results.json", b"[1,2]")
        assert objects.get("jobs/a/results.json") == b"[1,2]"
        assert b"".join(objects.chunks("jobs/a/results.json")) == b"[1,2]"
        assert objects.size("jobs/a/results.json") == 5
        assert list(objects.keys("jobs/a/")) == ["jobs/a/results.json"]

    def test_create_refuses_to_replace(self, objects: ObjectStore) -> None:
        objects.create("k", b"first")
        with pytest.raises(ObjectExists):
            objects.create("k", b"second")
        assert objects.get("k") == b"first"

    def test_an_absent_object_is_an_error_of_its_own(self, objects: ObjectStore) -> None:
        assert not objects.exists("nothing")
        for read in (objects.get, objects.size, objects.chunks):
            with pytest.raises(ObjectNotFound, match="nothing"):
                read("nothing")
        objects.delete(["nothing"])

    def test_local_file_is_the_object(self, objects: ObjectStore) -> None:
        objects.put("input/a/source.mp4", b"frames")
        with objects.local_file("input/a/source.mp4") as path:
            assert path.read_bytes() == b"frames"
            assert path.suffix == ".mp4"
        with pytest.raises(ObjectNotFound), objects.local_file("input/b/source.mp4"):
            pass


class TestStreams:
    def test_a_broken_stream_leaves_nothing(self, objects: ObjectStore) -> None:
        async def chunks():
            yield b"x" * 6_000_000
            raise ConnectionError("the client went away")

        with pytest.raises(Exception, match="went away"):
            asyncio.run(objects.put_stream("input/a/source.mp4", chunks()))
        assert list(objects.keys("")) == []

    def test_a_writer_that_fails_leaves_nothing(self, objects: ObjectStore) -> None:
        def write_half() -> None:
            with objects.writer("k") as file:
                file.write(b"half")
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            write_half()
        assert not objects.exists("k")
        with objects.writer("k") as file:
            file.write(b"whole")
        assert objects.get("k") == b"whole"


class TestPromotion:
    def test_the_first_writer_wins_and_an_equal_second_adopts(self, objects: ObjectStore) -> None:
        data = os.urandom(3_000_000)
        objects.put("attempt/1", data)
        objects.put("attempt/2", data)
        assert objects.promote("attempt/1", "final") is True
        assert objects.promote("attempt/2", "final") is False
        assert objects.get("final") == data

    @pytest.mark.parametrize("leftover", [b"whole resultS", b"whole", b""])
    def test_something_else_under_the_key_is_replaced(self, objects: ObjectStore, leftover: bytes) -> None:
        objects.put("final", leftover)
        objects.put("attempt/1", b"whole results")
        assert objects.promote("attempt/1", "final") is True
        assert objects.get("final") == b"whole results"


def test_a_removed_object_takes_its_empty_folders_along(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}")
    objects.put("jobs/a/stages/x/1", b"1")
    objects.put("jobs/b/results.json", b"1")
    objects.delete(["jobs/a/stages/x/1"])
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["b"]


@pytest.mark.parametrize("url", ["s3://bucket", "ftp://host/folder", "file://host/folder", "folder"])
def test_an_unsupported_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not supported yet"):
        open_objects(url)


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
