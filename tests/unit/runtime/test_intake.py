"""What is refused, cancelled or cannot be stored leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from reelwork.errors import StoreUnavailable
from reelwork.objects import ObjectStore, open_objects
from reelwork.runtime.intake import file_chunks, take_video
from tests.clips import write_clip

BYTES_MAX = 1 << 30


class FullForIndices(ObjectStore):
    def put(self, key: str, data: bytes) -> None:
        if key.startswith("frames/"):
            raise StoreUnavailable("no space left on device")
        super().put(key, data)


def test_an_index_that_cannot_be_stored_takes_the_input_along(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    objects = open_objects(f"file://{tmp_path}/objects")
    objects.__class__ = FullForIndices
    with pytest.raises(StoreUnavailable, match="no space"):
        asyncio.run(take_video(objects, uuid4(), file_chunks(clip), bytes_max=BYTES_MAX))
    assert list(objects.keys("")) == []


def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}/objects")

    async def test() -> None:
        arrives = asyncio.Event()

        async def chunks() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            arrives.set()
            await asyncio.Event().wait()

        upload = asyncio.create_task(take_video(objects, uuid4(), chunks(), bytes_max=BYTES_MAX))
        await arrives.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload

    asyncio.run(test())
    assert list(objects.keys("")) == []
