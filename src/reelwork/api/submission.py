"""A submission, from the first byte of its form to the row of its job. What is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

import structlog
from fastapi import Header, HTTPException, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from reelwork.api.form import FILE_FIELD, FORM_BYTES_MAX, FormFile, MultipartForm
from reelwork.api.state import State
from reelwork.errors import UploadTooLarge
from reelwork.runtime import tracing
from reelwork.runtime.intake import TakenFiles, take_video

log = structlog.get_logger("reelwork.api")
DEFAULT_PIPELINE: Final = "analyze"
PIPELINE_FIELD: Final = "pipeline"
JSON_TYPE: Final = "application/json"

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


FORM_OR_JSON: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            **FORM["requestBody"]["content"],
            JSON_TYPE: {
                "schema": {
                    "type": "object",
                    "required": [PIPELINE_FIELD],
                    "properties": {PIPELINE_FIELD: {"type": "string"}},
                    "additionalProperties": {"description": "The parameters of the pipeline."},
                }
            },
        },
    }
}


class Submission(NamedTuple):
    """is_new: no earlier submit with this key has made the job."""

    job_id: str
    is_new: bool


async def submit(request: Request, state: State, idempotency_key: str | None) -> Submission:
    """One video, with the parameters of a pipeline that works on one."""
    tracing.client(request.headers.get("traceparent"))
    return await _once(state, idempotency_key, lambda: _Upload(request, state).take(idempotency_key))


async def submit_any(request: Request, state: State, idempotency_key: str | None) -> Submission:
    """One video, the files that a pipeline works on, or parameters alone as JSON."""
    tracing.client(request.headers.get("traceparent"))
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == JSON_TYPE:
        return await _once(state, idempotency_key, lambda: _submit_json(request, state, idempotency_key))
    many = state.backends.catalogue.file_fields()
    return await _once(state, idempotency_key, lambda: _Upload(request, state, many=many).take(idempotency_key))


async def _once(state: State, idempotency_key: str | None, take: Callable[[], Awaitable[Submission]]) -> Submission:
    if idempotency_key is not None:
        existing = await run_in_threadpool(state.jobs.with_key, idempotency_key)
        if existing is not None:
            return Submission(existing, is_new=False)
    with state.uploads.take():
        submission = await take()
    log.info("reelwork.api.submitted", job_id=submission.job_id, is_new=submission.is_new)
    return submission


async def _submit_json(request: Request, state: State, idempotency_key: str | None) -> Submission:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise HTTPException(400, f"the body is larger than {FORM_BYTES_MAX} bytes")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON ({error})") from None
    if not isinstance(asked, dict) or not isinstance(asked.get(PIPELINE_FIELD), str):
        raise HTTPException(400, f"send an object with the field {PIPELINE_FIELD!r}, and the pipeline's parameters")
    pipeline = state.backends.catalogue.pipeline(asked.pop(PIPELINE_FIELD))
    if pipeline.files is None:
        raise HTTPException(400, f"{pipeline.name} works on a video; send it as multipart/form-data, in {FILE_FIELD!r}")
    checked = await run_in_threadpool(state.jobs.check, pipeline.name, asked)
    job_id = state.backends.world.new_id()
    created = await run_in_threadpool(
        lambda: state.jobs.create(
            pipeline.name,
            job_id=job_id,
            input_path="",
            parameters=checked.model_dump(mode="json"),
            idempotency_key=idempotency_key,
        )
    )
    return Submission(created, is_new=created == str(job_id))


class _Upload:
    def __init__(self, request: Request, state: State, *, many: Collection[str] = ()) -> None:
        self._state = state
        self._bytes_max = state.backends.config.REELWORK_MAX_UPLOAD_BYTES
        self._form = MultipartForm.of(request, many=many)
        if int(request.headers.get("Content-Length", 0)) > self._bytes_max + FORM_BYTES_MAX:
            raise UploadTooLarge(
                f"the upload is larger than {self._bytes_max} bytes; REELWORK_MAX_UPLOAD_BYTES sets the limit"
            )
        self._parameters: BaseModel | None = None

    async def take(self, idempotency_key: str | None) -> Submission:
        job_id = self._state.backends.world.new_id()
        file = await self._form.find_file()
        if file.field_name != FILE_FIELD:
            return await self._take_files(file, job_id, idempotency_key)
        if self._form.fields:
            await self._check()
        video = await take_video(self._state.backends.objects, job_id, self._chunks(file), bytes_max=self._bytes_max)
        assert self._parameters is not None
        parameters = video.job_parameters(self._parameters)
        return await self._record(job_id, [video.key], video.key, parameters, idempotency_key)

    async def _take_files(self, first: FormFile, job_id: UUID, idempotency_key: str | None) -> Submission:
        """The files of a pipeline that says what to make of them. Nothing is decoded here: its services do so."""
        files = TakenFiles(self._state.backends.objects, str(job_id), bytes_max=self._bytes_max)
        try:
            file: FormFile | None = first
            while file is not None:
                await files.take(file.field_name, file.name, self._form.chunks_of(file))
                file = await self._form.next_file()
            name, asked = self._asked
            pipeline = self._state.backends.catalogue.pipeline(name)
            given = {**asked, **files.parameters(pipeline, asked)}
            checked = await run_in_threadpool(self._state.jobs.check, name, given)
        except BaseException:
            await asyncio.shield(run_in_threadpool(files.remove))
            raise
        return await self._record(job_id, files.keys, "", checked.model_dump(mode="json"), idempotency_key)

    async def _chunks(self, file: FormFile) -> AsyncIterator[bytes]:
        """Fails at its end, before anything is stored for good, when the fields behind the file are wrong."""
        async for chunk in self._form.file_chunks(file):
            yield chunk
        await self._check()

    async def _check(self) -> None:
        pipeline, parameters = self._asked
        fields = self._state.backends.catalogue.pipeline(pipeline).files
        if fields is not None:
            raise HTTPException(
                400, f"{pipeline} takes its files in {', '.join(sorted(fields))}, not in {FILE_FIELD!r}"
            )
        self._parameters = await run_in_threadpool(self._state.jobs.check, pipeline, parameters)

    @property
    def _asked(self) -> tuple[str, Mapping[str, str]]:
        parameters = dict(self._form.fields)
        return parameters.pop(PIPELINE_FIELD, DEFAULT_PIPELINE), parameters

    async def _record(
        self,
        job_id: UUID,
        keys: Sequence[str],
        input_path: str,
        parameters: Mapping[str, Any],
        idempotency_key: str | None,
    ) -> Submission:
        created = await run_in_threadpool(self._create, job_id, keys, input_path, parameters, idempotency_key)
        return Submission(created, is_new=created == str(job_id))

    def _create(
        self,
        job_id: UUID,
        keys: Sequence[str],
        input_path: str,
        parameters: Mapping[str, Any],
        idempotency_key: str | None,
    ) -> str:
        """One step in one thread, so that nothing can come between the row of a job and the fate of its input."""
        objects = self._state.backends.objects
        try:
            created = self._state.jobs.create(
                self._asked[0],
                job_id=job_id,
                input_path=input_path,
                parameters=parameters,
                idempotency_key=idempotency_key,
            )
        except BaseException:
            objects.delete(keys)
            raise
        if created != str(job_id):
            objects.delete(keys)
        return created
