"""Takes in a video: streamed to the object store in constant memory, measured, and probed in a child before it is
trusted.

What is refused leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from reelwork.errors import PermanentError, UploadTooLarge
from reelwork.media import ProbeChild, ProbedVideo, VideoInfo
from reelwork.objects import ObjectStore
from reelwork.objects.keys import frame_index_key, input_key, upload_key
from reelwork.runtime.declaration import Pipeline

FILE_CHUNK_BYTES: Final = 1 << 20
FILES_MAX: Final = 1_000


class FilesRefused(PermanentError):
    """The files of a submission are not what its pipeline works on; the text says why."""


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


class TakenFiles:
    """The files that one job was given, in fields of its pipeline; bytes_max: of all of them together."""

    def __init__(self, objects: ObjectStore, job_id: str, *, bytes_max: int) -> None:
        self._objects = objects
        self._job_id = job_id
        self._bytes_left = bytes_max
        self._bytes_max = bytes_max
        self._by_field: dict[str, dict[str, str]] = {}
        self.keys: list[str] = []

    async def take(self, field: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Stores one file. Raises UploadTooLarge, FilesRefused for too many of them."""
        files = self._by_field.setdefault(field, {})
        if len(self.keys) == FILES_MAX:
            raise FilesRefused(f"a job takes {FILES_MAX} files at most; send the others with another")
        key = upload_key(self._job_id, field, len(files))
        meter = _Meter(chunks, self._bytes_left, told_max=self._bytes_max)
        self.keys.append(key)
        await self._objects.put_stream(key, meter.chunks())
        self._bytes_left -= meter.size_bytes
        files[_unused(name or str(len(files)), files)] = key

    def parameters(self, pipeline: Pipeline, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the pipeline makes of the files, by parameter. Raises FilesRefused for a field that is none of its."""
        made = {}
        makers = pipeline.files or {}
        for field, files in self._by_field.items():
            if field not in makers:
                raise FilesRefused(f"pipeline {pipeline.name} takes no files in the field {field!r}")
            if field in asked:
                raise FilesRefused(f"the field {field!r} holds files and text; send either")
            made[field] = makers[field](files)
        return made

    def remove(self) -> None:
        self._objects.delete(self.keys)


def _unused(name: str, taken: Collection[str]) -> str:
    unused, number = name, 2
    while unused in taken:
        unused, number = f"{name} ({number})", number + 1
    return unused


async def file_chunks(path: Path) -> AsyncIterator[bytes]:
    """A local file, piece by piece."""
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, FILE_CHUNK_BYTES):
            yield chunk


def _probe(child: ProbeChild, objects: ObjectStore, key: str) -> ProbedVideo:
    return child.probe(objects.readable(key))


class _Meter:
    """Counts and hashes what flows by."""

    def __init__(self, chunks: AsyncIterator[bytes], bytes_max: int, *, told_max: int | None = None) -> None:
        self._chunks = chunks
        self._bytes_max = bytes_max
        self._told_max = bytes_max if told_max is None else told_max
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size_bytes += len(chunk)
            if self.size_bytes > self._bytes_max:
                raise UploadTooLarge(
                    f"the upload is larger than {self._told_max} bytes; REELWORK_MAX_UPLOAD_BYTES sets the limit"
                )
            self.digest.update(chunk)
            yield chunk
