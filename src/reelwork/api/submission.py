"""A submission, from the first byte of its form to the row of its job. What is refused leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

from fastapi import Header, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from reelwork.api.form import FILE_FIELD, FORM_BYTES_MAX, MultipartForm
from reelwork.api.state import State
from reelwork.errors import UploadTooLarge
from reelwork.runtime.intake import StoredVideo, take_video

DEFAULT_PIPELINE: Final = "analyze"
PIPELINE_FIELD: Final = "pipeline"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="Submits with the same key are one job: the first makes it, the others get its id.",
    ),
]

FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE_FIELD],
                    "properties": {
                        FILE_FIELD: {"type": "string", "format": "binary", "description": "The video."},
                        PIPELINE_FIELD: {"type": "string", "default": DEFAULT_PIPELINE},
                        "pipeline_id": {
                            "type": "string",
                            "default": "shots+quality",
                            "description": "Names of analyzers, joined by '+'.",
                        },
                        "frame_stride": {
                            "type": "integer",
                            "minimum": 1,
                            "default": 1,
                            "description": "Process every n-th frame.",
                        },
                        "max_frames": {
                            "type": "integer",
                            "minimum": 1,
                            "description": "Process at most so many frames.",
                        },
                    },
                    "additionalProperties": {
                        "type": "string",
                        "description": "Other parameters of the pipeline. Fields before the file are checked before "
                        "it is stored.",
                    },
                }
            }
        },
    }
}


class Submission(NamedTuple):
    """is_new: no earlier submit with this key has made the job."""

    job_id: str
    is_new: bool


async def submit(request: Request, state: State, idempotency_key: str | None) -> Submission:
    if idempotency_key is not None:
        existing = await run_in_threadpool(state.jobs.with_key, idempotency_key)
        if existing is not None:
            return Submission(existing, is_new=False)
    with state.uploads.take():
        return await _Upload(request, state).take(idempotency_key)


class _Upload:
    def __init__(self, request: Request, state: State) -> None:
        self._state = state
        self._bytes_max = state.backends.config.REELWORK_MAX_UPLOAD_BYTES
        self._form = MultipartForm.of(request)
        if int(request.headers.get("Content-Length", 0)) > self._bytes_max + FORM_BYTES_MAX:
            raise UploadTooLarge(
                f"the upload is larger than {self._bytes_max} bytes; REELWORK_MAX_UPLOAD_BYTES sets the limit"
            )
        self._parameters: BaseModel | None = None

    async def take(self, idempotency_key: str | None) -> Submission:
        backends = self._state.backends
        job_id = backends.world.new_id()
        await self._form.find_file()
        if self._form.fields:
            await self._check()
        video = await take_video(backends.objects, job_id, self._chunks(), bytes_max=self._bytes_max)
        created = await run_in_threadpool(self._record, job_id, video, idempotency_key)
        return Submission(created, is_new=created == str(job_id))

    async def _chunks(self) -> AsyncIterator[bytes]:
        """Fails at its end, before anything is stored for good, when the fields behind the file are wrong."""
        async for chunk in self._form.file_chunks():
            yield chunk
        await self._check()

    async def _check(self) -> None:
        pipeline, parameters = self._asked
        self._parameters = await run_in_threadpool(self._state.jobs.check, pipeline, parameters)

    @property
    def _asked(self) -> tuple[str, Mapping[str, str]]:
        parameters = dict(self._form.fields)
        return parameters.pop(PIPELINE_FIELD, DEFAULT_PIPELINE), parameters

    def _record(self, job_id: UUID, video: StoredVideo, idempotency_key: str | None) -> str:
        """One step in one thread, so that nothing can come between the row of a job and the fate of its input."""
        assert self._parameters is not None
        objects = self._state.backends.objects
        try:
            created = self._state.jobs.create(
                self._asked[0],
                job_id=job_id,
                input_path=video.key,
                parameters=video.job_parameters(self._parameters),
                idempotency_key=idempotency_key,
            )
        except BaseException:
            objects.delete([video.key])
            raise
        if created != str(job_id):
            objects.delete([video.key])
        return created
