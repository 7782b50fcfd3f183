"""Videos that are elsewhere: the same frames and reasons as from a file, few bytes fetched, failures told as such."""

from __future__ import annotations

import io
import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from reelwork.errors import ProbeLimitExceeded, StoreUnavailable, UnreadableMedia
from reelwork.media import VideoDecoder, build_frame_index, decode_frames, open_bytes, probe_in_child, probe_video
from reelwork.media.byte_source import MediaFile
from reelwork.media.lending import LENT_AT_ONCE_BYTES_MAX, REQUEST, lend
from reelwork.media.ranged_file import BLOCK_BYTES, BLOCKS_AT_ONCE_MAX, BLOCKS_KEPT_MAX, RangedFile
from tests.clips import (
    SOUND_CLIPS,
    packet_places,
    signature_only,
    sound_only,
    truncate,
    write_clip,
)
from tests.unit.media.conftest import Clips


@dataclass
class Elsewhere:
    """Bytes that are lent, and what was fetched of them. fails_at: the number of the read that the store fails at."""

    data: bytes
    name: str = "source.mp4"
    fails_at: int | None = None
    fetched: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, *, fails_at: int | None = None) -> Elsewhere:
        return cls(path.read_bytes(), path.name, fails_at)

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def bytes_fetched(self) -> int:
        return sum(end - start for start, end in self.fetched)

    def read_range(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(self.data)
        if self.fails_at is not None and len(self.fetched) >= self.fails_at:
            raise StoreUnavailable("the store is away")
        self.fetched.append((start, end))
        return self.data[start:end]


class TestRangedFile:
    def test_is_the_file_however_it_is_read(self) -> None:
        chance = random.Random(5)
        data = chance.randbytes(5 * BLOCK_BYTES + 321)
        mine, plain = io.BufferedReader(RangedFile(Elsewhere(data))), io.BytesIO(data)
        for _ in range(300):
            whence = chance.choice([os.SEEK_SET, os.SEEK_END])
            offset = chance.randrange(len(data) + 100)
            position = offset if whence == os.SEEK_SET else -min(offset, len(data))
            assert mine.seek(position, whence) == plain.seek(position, whence)
            length = chance.choice([0, 1, 7, 4096, BLOCK_BYTES + 1])
            assert mine.read(length) == plain.read(length)
            assert mine.tell() == plain.tell()

    def test_reading_on_and_on_takes_few_requests_and_little_memory(self) -> None:
        blocks = 400
        source = Elsewhere(bytes(blocks * BLOCK_BYTES))
        file = RangedFile(source)
        while file.read(BLOCK_BYTES):
            assert len(file._blocks) <= BLOCKS_KEPT_MAX
        assert source.bytes_fetched == source.size_bytes
        assert len(source.fetched) <= blocks / BLOCKS_AT_ONCE_MAX + 6

    def test_a_look_costs_one_block(self) -> None:
        source = Elsewhere(bytes(100 * BLOCK_BYTES))
        file = RangedFile(source)
        for block in (90, 3, 60, 20):
            file.seek(block * BLOCK_BYTES + 7)
            file.read(100)
        assert source.bytes_fetched == 4 * BLOCK_BYTES

    def test_what_was_read_is_not_fetched_again(self) -> None:
        source = Elsewhere(bytes(100 * BLOCK_BYTES))
        file = RangedFile(source)
        for _ in range(5):
            for block in (0, 70, 35):
                file.seek(block * BLOCK_BYTES)
                file.read(BLOCK_BYTES)
        assert source.bytes_fetched == 3 * BLOCK_BYTES

    def test_a_failure_stays_one(self) -> None:
        file = RangedFile(Elsewhere(bytes(9), fails_at=0))
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                file.read(1)
        assert isinstance(file.failure, StoreUnavailable)


class TestTheSameAsAFile:
    @pytest.mark.parametrize("name", SOUND_CLIPS)
    def test_index_and_frames(self, clips: Clips, name: str) -> None:
        clip = clips[name]
        assert build_frame_index(Elsewhere.of(clip.path)).to_bytes() == clip.index.to_bytes()
        with VideoDecoder(Elsewhere.of(clip.path), clip.index) as decoder:
            for first in (len(clip.index) // 2, 0):
                wanted = range(first, len(clip.index))
                frames = [(frame.index, frame.bgr) for frame in decoder.frames(wanted)]
                assert [number for number, _ in frames] == list(wanted)
                assert all(np.array_equal(picture, clip.pictures[number]) for number, picture in frames)

    @pytest.mark.parametrize("name", ["sound.mp4", "one-frame.mp4"])
    def test_probed_in_a_child(self, clips: Clips, name: str) -> None:
        lent, plain = probe_in_child(Elsewhere.of(clips[name].path)), probe_video(clips[name].path)
        assert lent.info == plain.info
        assert lent.index.to_bytes() == plain.index.to_bytes()

    @pytest.mark.parametrize("make", [signature_only, sound_only, lambda path: written(path, b"")])
    def test_reasons(self, tmp_path: Path, make: Callable[[Path], Path]) -> None:
        path = make(tmp_path / "bad.mp4")
        assert reason_of(Elsewhere.of(path)) == reason_of(path)

    def test_what_is_cut_short(self, clips: Clips, tmp_path: Path) -> None:
        path = truncate(clips["plain.mp4"].path, tmp_path / "truncated.mp4")
        assert "truncated" in reason_of(Elsewhere.of(path)) == reason_of(path)

    def test_bytes_for_who_wants_them(self, clips: Clips) -> None:
        path = clips["plain.mp4"].path
        for media in (path, Elsewhere.of(path)):
            with open_bytes(media) as file:
                assert file.read() == path.read_bytes()


class TestCost:
    def test_a_range_costs_its_own_bytes_and_the_tables(self, tmp_path: Path) -> None:
        """The tables of this clip are at its end; a third of its frames is wanted, from the middle."""
        path = long_clip(tmp_path, frames=240)
        index, places = build_frame_index(path), packet_places(path)
        wanted = range(80, 160)
        own = sum(size for _, size in places[wanted.start : wanted.stop])
        tables = path.stat().st_size - max(start + size for start, size in places)
        assert own > 8 * BLOCK_BYTES
        source = Elsewhere.of(path)
        assert len(list(decode_frames(source, index, wanted))) == len(wanted)
        slack = 6 * BLOCK_BYTES + min(own, BLOCKS_AT_ONCE_MAX * BLOCK_BYTES)  # ends of blocks, and reading ahead
        assert own < source.bytes_fetched < own + tables + slack < path.stat().st_size

    def test_ranges_of_one_decoder_read_the_tables_once(self, tmp_path: Path) -> None:
        path = long_clip(tmp_path, frames=100)
        source = Elsewhere.of(path)
        with VideoDecoder(source, build_frame_index(path)) as decoder:
            for start in (1, 90, 30, 60):
                list(decoder.frames(range(start, start + 3)))
        tables = (len(source.data) - 1) // BLOCK_BYTES * BLOCK_BYTES
        assert sum(end > tables for _, end in source.fetched) == 1


class TestFailures:
    """A store that goes away must never look like a video that is broken, or is over."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return long_clip(tmp_path, frames=60)

    def test_at_any_read(self, path: Path) -> None:
        index = build_frame_index(path)

        def all_of(source: Elsewhere) -> None:
            with VideoDecoder(source, index) as decoder:
                for start in (30, 0):
                    list(decoder.frames(range(start, start + 30)))

        for work in (build_frame_index, probe_video, all_of):
            whole = Elsewhere.of(path)
            work(whole)
            reads = len(whole.fetched)
            assert reads >= 4
            for number in range(reads):
                with pytest.raises(StoreUnavailable, match="the store is away"):
                    work(Elsewhere.of(path, fails_at=number))
                assert len(build_frame_index(path)) == 60  # another video of this thread has nothing of it

    def test_in_a_child(self, path: Path) -> None:
        for number in (0, 2):
            with pytest.raises(StoreUnavailable, match="the store is away"):
                probe_in_child(Elsewhere.of(path, fails_at=number))


class TestLending:
    @pytest.fixture
    def ends(self) -> tuple[socket.socket, socket.socket]:
        return socket.socketpair()

    @pytest.mark.parametrize(("start", "end"), [(5, 3), (99, 101), (1 << 40, (1 << 40) + 1), (0, 1 << 40)])
    def test_nothing_but_its_bytes_is_lent(
        self, ends: tuple[socket.socket, socket.socket], start: int, end: int
    ) -> None:
        with ends[0] as lender, ends[1] as borrower:
            borrower.sendall(REQUEST.pack(start, end))
            with pytest.raises(ProbeLimitExceeded, match="bytes that nobody has, or for too many at once"):
                lend(Elsewhere(bytes(100)), lender, timeout_seconds=10)

    def test_it_ends_when_the_child_asks_again_and_again(
        self, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reelwork.media.lending.LENT_BYTES_MIN", 0)
        with ends[0] as lender, ends[1] as borrower:
            borrower.sendall(REQUEST.pack(0, 100) * 5)
            with pytest.raises(ProbeLimitExceeded, match="read more than 400 bytes"):
                lend(Elsewhere(bytes(100)), lender, timeout_seconds=10)

    def test_no_child_makes_its_parent_hold_a_whole_video(self, ends: tuple[socket.socket, socket.socket]) -> None:
        source = Elsewhere(bytes(LENT_AT_ONCE_BYTES_MAX + 1))
        with ends[0] as lender, ends[1] as borrower:
            borrower.sendall(REQUEST.pack(0, len(source.data)))
            with pytest.raises(ProbeLimitExceeded, match="too many at once"):
                lend(source, lender, timeout_seconds=10)
        assert source.fetched == []

    @pytest.mark.parametrize("asked", [b"", REQUEST.pack(0, LENT_AT_ONCE_BYTES_MAX)])
    def test_it_ends_when_the_child_is_silent_or_does_not_take_what_it_asked_for(
        self, ends: tuple[socket.socket, socket.socket], asked: bytes
    ) -> None:
        with ends[0] as lender, ends[1] as borrower:
            borrower.sendall(asked)
            with pytest.raises(TimeoutError):
                lend(Elsewhere(bytes(1 << 24)), lender, timeout_seconds=0.1)


def long_clip(folder: Path, *, frames: int) -> Path:
    """150 kB a frame, and the tables at the end."""
    return write_clip(folder / "long.mov", frames=frames, size=(320, 240), codec="rawvideo", pixel_format="uyvy422")


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def reason_of(media: MediaFile) -> str:
    with pytest.raises((UnreadableMedia, ProbeLimitExceeded)) as refused:
        probe_in_child(media)
    return f"{type(refused.value).__name__}: {refused.value}"
