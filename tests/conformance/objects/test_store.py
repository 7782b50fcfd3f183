"""Objects are whole or absent, the first writer wins, and nothing is left behind: on every store there is."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from reelwork.errors import ObjectExists, ObjectNotFound, UploadTooLarge
from reelwork.objects import ObjectStore, StoredObject
from reelwork.objects.part_writer import PART_BYTES
from reelwork.objects.stored_object import CHUNK_BYTES


def pattern(size_bytes: int) -> bytes:
    """No two of its pages are alike."""
    return os.urandom(size_bytes)


def read(objects: ObjectStore, key: str) -> bytes:
    """By way of what a worker reads a video through."""
    readable = objects.readable(key)
    if isinstance(readable, Path):
        return readable.read_bytes()
    return readable.read_range(0, readable.size_bytes)


class TestWholeObjects:
    def test_what_is_put_can_be_read(self, objects: ObjectStore) -> None:
        objects.put("jobs/a/results.json", b"[1]")
        objects.put("jobs/a/results.json", b"[1,2]")
        assert objects.get("jobs/a/results.json") == b"[1,2]"
        assert b"".join(objects.chunks("jobs/a/results.json")) == b"[1,2]"
        assert objects.size("jobs/a/results.json") == 5
        assert list(objects.keys("jobs/a/")) == ["jobs/a/results.json"]
        assert list(objects.keys("jobs/b/")) == []

    def test_an_empty_object_is_one(self, objects: ObjectStore) -> None:
        objects.put("k", b"")
        assert objects.exists("k")
        assert objects.get("k") == b"" == b"".join(objects.chunks("k"))
        assert read(objects, "k") == b""

    def test_nothing_lies_below_an_object(self, objects: ObjectStore) -> None:
        objects.put("jobs/a/x.json", b"[]")
        assert not objects.exists("jobs/a/x.json/y")
        for ask in (objects.get, objects.size, objects.chunks):
            with pytest.raises(ObjectNotFound, match="/y"):
                ask("jobs/a/x.json/y")

    def test_create_refuses_to_replace(self, objects: ObjectStore) -> None:
        objects.create("k", b"first")
        with pytest.raises(ObjectExists):
            objects.create("k", b"second")
        assert objects.get("k") == b"first"

    def test_of_many_that_create_at_once_one_wins(self, objects: ObjectStore) -> None:
        """And what is there afterwards is the winner's."""
        won: list[int] = []
        start = threading.Barrier(4)

        def create(number: int) -> None:
            start.wait()
            try:
                objects.create("k", str(number).encode())
            except ObjectExists:
                return
            won.append(number)

        run_at_once(create, 4)
        assert len(won) == 1
        assert objects.get("k") == str(won[0]).encode()

    def test_an_absent_object_is_an_error_of_its_own(self, objects: ObjectStore) -> None:
        assert not objects.exists("nothing")
        for look in (objects.get, objects.size, objects.chunks, objects.readable):
            with pytest.raises(ObjectNotFound, match="nothing"):
                look("nothing")
        objects.delete(["nothing"])

    def test_what_is_deleted_is_gone_and_the_rest_is_not(self, objects: ObjectStore) -> None:
        keys = [f"jobs/a/{number}" for number in range(5)]
        for key in keys:
            objects.put(key, b"1")
        objects.delete([*keys[:3], "jobs/a/nothing"])
        assert sorted(objects.keys("jobs/a/")) == keys[3:]

    def test_what_was_written_before_can_be_told(self, objects: ObjectStore) -> None:
        objects.put("input/a/source.mp4", b"1")
        assert list(objects.keys("input/", before_ms=0)) == []
        assert list(objects.keys("input/", before_ms=1 << 48)) == ["input/a/source.mp4"]

    def test_it_answers_and_keeps_its_promises(self, objects: ObjectStore) -> None:
        objects.ping()
        objects.verify()
        assert list(objects.keys("")) == []


class TestParts:
    SIZE = 2 * CHUNK_BYTES + 12_345

    def test_chunks_are_the_object_or_any_part_of_it(self, objects: ObjectStore) -> None:
        data = pattern(self.SIZE)
        objects.put("k", data)
        assert b"".join(objects.chunks("k")) == data
        stored = objects.stored("k")
        assert stored.size_bytes == self.SIZE
        for part in (slice(CHUNK_BYTES - 5, 2 * CHUNK_BYTES + 7), slice(self.SIZE - 3, self.SIZE), slice(5, 5)):
            assert b"".join(stored.chunks(part.start, part.stop)) == data[part]
        if objects.shown != "memory":  # there it would only be one copy more
            assert max(map(len, objects.chunks("k"))) <= CHUNK_BYTES

    def test_a_range_is_read_exactly_and_nothing_beyond(self, objects: ObjectStore) -> None:
        objects.put("k", b"0123456789")
        readable = objects.readable("k")
        if isinstance(readable, Path):
            assert readable.read_bytes() == b"0123456789"
            return
        assert readable.size_bytes == 10
        assert [readable.read_range(2, 5), readable.read_range(9, 10), readable.read_range(4, 4)] == [b"234", b"9", b""]
        for beyond in ((5, 11), (-1, 2), (4, 3)):
            with pytest.raises(ValueError, match="not within"):
                readable.read_range(*beyond)

    def test_two_looks_at_one_object_are_equal_until_it_is_replaced(self, objects: ObjectStore) -> None:
        """A worker keeps a video open from one of its ranges to the next by this."""
        objects.put("k", b"first")
        before, again = objects.readable("k"), objects.readable("k")
        assert (before, hash(before)) == (again, hash(again))
        if isinstance(before, StoredObject):
            objects.put("k", b"other")
            assert objects.readable("k") != before
            with pytest.raises(Exception, match="replaced"):
                before.read_range(0, 5)


class TestStreams:
    def test_a_stream_of_many_parts_arrives_whole(self, objects: ObjectStore) -> None:
        data = pattern(2 * PART_BYTES + 4_321)

        async def chunks():
            for first in range(0, len(data), 700_001):
                yield data[first : first + 700_001]

        asyncio.run(objects.put_stream("input/a/source.mp4", chunks()))
        assert read(objects, "input/a/source.mp4") == data

    @pytest.mark.parametrize("error", [ConnectionError("the client went away"), UploadTooLarge("it went away")])
    def test_a_broken_stream_leaves_nothing(self, objects: ObjectStore, error: Exception) -> None:
        async def chunks():
            for _ in range(6):
                yield b"x" * (PART_BYTES // 2)
            raise error

        with pytest.raises(Exception, match="went away"):
            asyncio.run(objects.put_stream("input/a/source.mp4", chunks()))
        assert list(objects.keys("")) == []

    def test_a_cancelled_stream_leaves_nothing(self, objects: ObjectStore) -> None:
        """The next chunk may never come: who uploads has gone, and the server stops."""
        waits = asyncio.Event()

        async def chunks():
            for _ in range(4):
                yield b"x" * (PART_BYTES // 2)
            waits.set()
            await asyncio.Event().wait()

        async def cancel() -> None:
            putting = asyncio.create_task(objects.put_stream("input/a/source.mp4", chunks()))
            await waits.wait()
            putting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await putting

        asyncio.run(cancel())
        assert list(objects.keys("")) == []
        if objects.shown.startswith("/"):
            assert not [path for path in Path(objects.shown).rglob("*") if path.is_file()]


class TestWriters:
    @pytest.mark.parametrize("size", [0, 5, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES, 3 * PART_BYTES + 777])
    def test_what_is_written_is_the_object(self, objects: ObjectStore, size: int) -> None:
        data = pattern(size)
        with objects.writer("k") as file:
            for first in range(0, size, 1_000_003):
                assert file.write(data[first : first + 1_000_003]) == len(data[first : first + 1_000_003])
            assert not objects.exists("k")
        assert read(objects, "k") == data

    @pytest.mark.parametrize("size", [4, 3 * PART_BYTES])
    def test_a_writer_that_fails_leaves_what_was_there(self, objects: ObjectStore, size: int) -> None:
        def write_half() -> None:
            with objects.writer("k") as file:
                file.write(b"x" * size)
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            write_half()
        assert list(objects.keys("")) == []
        objects.put("k", b"before")
        with pytest.raises(ValueError, match="no"):
            write_half()
        assert objects.get("k") == b"before"

    def test_an_error_in_the_block_stays_what_it_is(self, objects: ObjectStore) -> None:
        with pytest.raises(FileNotFoundError, match="mine"), objects.writer("k"):
            raise FileNotFoundError("mine")

    def test_nothing_is_left_running(self, objects: ObjectStore) -> None:
        with objects.writer("k") as file:
            file.write(b"x" * 2 * PART_BYTES)
        assert not [thread for thread in threading.enumerate() if thread.name == "reelwork-upload"]


class TestFiles:
    @pytest.mark.parametrize("size", [0, 5, 2 * PART_BYTES + 777])
    def test_a_file_becomes_an_object_when_it_is_whole(self, objects: ObjectStore, size: int) -> None:
        data = pattern(size)
        objects.put("a/b/k", b"before")
        with objects.staged("a/b/k") as path:
            path.write_bytes(data)
            assert objects.get("a/b/k") == b"before"
            assert list(objects.keys("")) == ["a/b/k"]
        assert read(objects, "a/b/k") == data
        assert not path.exists()

    def test_nothing_is_left_of_one_that_is_given_up(self, objects: ObjectStore) -> None:
        paths: list[Path] = []

        def give_up() -> None:
            with objects.staged("a/b/k") as path:
                path.write_bytes(b"half")
                paths.append(path)
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            give_up()
        assert not objects.exists("a/b/k")
        assert not paths[0].parent.exists()


class TestPromotion:
    def test_the_first_writer_wins_and_an_equal_second_adopts(self, objects: ObjectStore) -> None:
        data = pattern(9_000_000)
        objects.put("attempt/1", data)
        objects.put("attempt/2", data)
        assert objects.promote("attempt/1", "final") is True
        assert objects.promote("attempt/2", "final") is False
        assert read(objects, "final") == data

    @pytest.mark.parametrize("leftover", [b"whole resultS", b"whole", b""])
    def test_something_else_under_the_key_is_replaced(self, objects: ObjectStore, leftover: bytes) -> None:
        objects.put("final", leftover)
        objects.put("attempt/1", b"whole results")
        assert objects.promote("attempt/1", "final") is True
        assert objects.get("final") == b"whole results"

    def test_of_many_equal_ones_at_once_one_is_the_first(self, objects: ObjectStore) -> None:
        results: list[bool] = []
        for number in range(4):
            objects.put(f"attempt/{number}", b"whole results")
        run_at_once(lambda number: results.append(objects.promote(f"attempt/{number}", "final")), 4)
        assert sorted(results) == [False] * 3 + [True]
        assert objects.get("final") == b"whole results"

    def test_what_is_not_there_cannot_be_promoted(self, objects: ObjectStore) -> None:
        with pytest.raises(ObjectNotFound):
            objects.promote("attempt/1", "final")
        assert not objects.exists("final")


def run_at_once(act: Callable[[int], object], count: int) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            act(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
