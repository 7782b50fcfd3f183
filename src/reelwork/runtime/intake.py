"""Takes in a video: streamed to the object store in constant memory, measured, and probed in a child before it is
trusted.

What is refused leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from reelwork.errors import UploadTooLarge
from reelwork.media import ProbeChild, ProbedVideo, VideoInfo
from reelwork.objects import ObjectStore
from reelwork.objects.keys import frame_index_key, input_key

FILE_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVideo:
    """A video that was accepted. sha256: of its bytes, in hexadecimal."""

    key: str
    sha256: str
    size_bytes: int
    info: VideoInfo

    def job_parameters(self, checked: BaseModel) -> dict[str, Any]:
        """What a job is told, and what it remembers of its input."""
        known = {"sha256": self.sha256, "size_bytes": self.size_bytes, **asdict(self.info)}
        return {**checked.model_dump(mode="json"), "input": known}


async def take_video(
    objects: ObjectStore, job_id: UUID, chunks: AsyncIterator[bytes], *, bytes_max: int
) -> StoredVideo:
    """Stores and probes the input of a job.

    Raises UploadTooLarge, UnreadableMedia, ProbeLimitExceeded, or StoreUnavailable when the disk is full.
    """
    key = input_key(str(job_id))
    meter = _Meter(chunks, bytes_max)
    try:
        with ProbeChild() as child:
            await objects.put_stream(key, meter.chunks())
            probed = await asyncio.to_thread(_probe, child, objects, key)
        sha256 = meter.digest.hexdigest()
        await asyncio.to_thread(objects.put, frame_index_key(sha256), probed.index.to_bytes())
    except BaseException:
        await asyncio.shield(asyncio.to_thread(objects.delete, [key]))
        raise
    return StoredVideo(key=key, sha256=sha256, size_bytes=meter.size_bytes, info=probed.info)


async def file_chunks(path: Path) -> AsyncIterator[bytes]:
    """A local file, piece by piece."""
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, FILE_CHUNK_BYTES):
            yield chunk


def _probe(child: ProbeChild, objects: ObjectStore, key: str) -> ProbedVideo:
    with objects.local_file(key) as path:
        return child.probe(path)


class _Meter:
    """Counts and hashes what flows by."""

    def __init__(self, chunks: AsyncIterator[bytes], bytes_max: int) -> None:
        self._chunks = chunks
        self._bytes_max = bytes_max
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size_bytes += len(chunk)
            if self.size_bytes > self._bytes_max:
                raise UploadTooLarge(
                    f"the upload is larger than {self._bytes_max} bytes; REELWORK_MAX_UPLOAD_BYTES sets the limit"
                )
            self.digest.update(chunk)
            yield chunk
