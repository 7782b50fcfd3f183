"""Runs one job to its end in this process and its workers, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from reelwork.cli.configuration import load_config
from reelwork.cli.exit_code import Interrupted, JobEndedBadly
from reelwork.cli.output_file import whole_file
from reelwork.cli.stop_signal import stop_on_signal
from reelwork.errors import JobTransitionRefused
from reelwork.ledger import Job, JobStatus, Ledger
from reelwork.objects import ObjectStore
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.intake import file_chunks, take_video
from reelwork.runtime.jobs import JobDetail, Jobs
from reelwork.runtime.log import configure_log
from reelwork.runtime.node import run_node
from reelwork.runtime.together import run_together
from reelwork.settings import Config

POLL_SECONDS: Final = 0.1
SHARED: Final = (
    "REELWORK_DATABASE_URL",
    "REELWORK_BROKER_URL",
    "REELWORK_OBJECTS_URL",
    "REELWORK_PIPELINES",
    "INPUT_BUCKET_NAME",
    "OUTPUT_BUCKET_NAME",
    "SEGMENT_COMPLETIONS_TABLE_NAME",
    "VIDEO_WORKER_QUEUE_URL",
)
"""Settings that lead to what others use, too."""
INTERRUPTED: Final = "interrupted"
DRAIN_SECONDS: Final = 1.0
"""Once the only job is over or cancelled there is nothing worth waiting for."""


Submit = Callable[[Backends, Jobs], Awaitable[str]]
"""Takes in what a job works on, and records it; its id."""

Watch = Callable[[Jobs, Job], None]
"""Shows how far a job is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedJob:
    """completions: number of completion events in the outbox, by stage."""

    detail: JobDetail
    completions: dict[str, int]


async def submit_video(backends: Backends, jobs: Jobs, pipeline: str, video: Path, parameters: dict[str, Any]) -> str:
    """Takes in a local file, and records a job on it; its id. Raises what refuses a video or the parameters."""
    checked = jobs.check(pipeline, parameters)
    job_id = uuid4()
    bytes_max = backends.config.REELWORK_MAX_UPLOAD_BYTES
    stored = await take_video(backends.objects, job_id, file_chunks(video), bytes_max=bytes_max)
    return jobs.create(pipeline, job_id=job_id, input_path=stored.key, parameters=stored.job_parameters(checked))


@contextlib.contextmanager
def embedded_config(data: Path | None) -> Iterator[Config]:
    """Settings of a run without a server: on a data folder that is gone afterwards, where none is given."""
    with contextlib.ExitStack() as opened:
        alone: dict[str, Any] = {}
        if data is None:
            alone = dict.fromkeys(SHARED)  # or others would work on its job
            alone["REELWORK_S3_NOTIFICATIONS"] = False
            data = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="reelwork-")))
        quiet = {} if "REELWORK_LOG_LEVEL" in os.environ else {"REELWORK_LOG_LEVEL": "error"}
        yield load_config(data=data, REELWORK_DRAIN_SECONDS=DRAIN_SECONDS, **quiet, **alone)


def run_embedded(
    config: Config, submit: Submit, *, workers: int, watch: Watch, save: Callable[[Backends, Job], None]
) -> FinishedJob:
    """Runs a job to its end; `save` takes what it has made out of the stores before they are closed.

    Raises JobEndedBadly with the reason of a failed job, Interrupted after a signal has cancelled it, and what refuses
    its input or its parameters.
    """
    configure_log(config.REELWORK_LOG_LEVEL, config.REELWORK_LOG_FORMAT)
    return asyncio.run(_run(config, submit, workers=workers, watch=watch, save=save))


async def _run(
    config: Config, submit: Submit, *, workers: int, watch: Watch, save: Callable[[Backends, Job], None]
) -> FinishedJob:
    with stop_on_signal() as stop:
        backends = await open_backends(config)
        try:
            jobs = Jobs(backends.ledger, backends.catalogue)
            job_id = await submit(backends, jobs)
            node = run_node(backends, stop, workers=workers)
            await run_together(stop, node, _follow(jobs, job_id, stop, watch))
            return await asyncio.to_thread(_finish, backends, jobs.detail(job_id), save)
        finally:
            await backends.close()


async def _follow(jobs: Jobs, job_id: str, stop: asyncio.Event, watch: Watch) -> None:
    """Watches the job to its end, then lets the workers go; cancels it when it is told to stop before that.

    It raises nothing then: a node that fails sets `stop` too, and what it raises afterwards is the true reason.
    """
    while True:
        job = await asyncio.to_thread(jobs.job, job_id)
        if job.status.is_terminal or not stop.is_set():
            await asyncio.to_thread(watch, jobs, job)
        if job.status.is_terminal:
            stop.set()
            return
        if stop.is_set():
            with contextlib.suppress(JobTransitionRefused):  # it has just ended by itself
                await asyncio.to_thread(jobs.cancel, job_id, reason=INTERRUPTED)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await stop.wait()


def _finish(backends: Backends, detail: JobDetail, save: Callable[[Backends, Job], None]) -> FinishedJob:
    job = detail.job
    if job.status is JobStatus.CANCELLED and job.error_message == INTERRUPTED:
        raise Interrupted("interrupted; the job was cancelled")
    if job.status is not JobStatus.COMPLETED or job.output_path is None:
        raise JobEndedBadly(job.error_message or f"the job is {job.status}, and nobody said why")
    save(backends, job)
    return FinishedJob(detail=detail, completions=completion_counts(backends.ledger, detail))


def save_object(objects: ObjectStore, key: str, path: Path) -> None:
    """Raises ConfigurationError where the file cannot be written."""
    with whole_file(path) as file:
        for chunk in objects.chunks(key):
            file.write(chunk)


def completion_counts(ledger: Ledger, detail: JobDetail) -> dict[str, int]:
    """How many completion events of each stage the outbox holds; one for each stage that completed, or all is lost."""
    topics = [row.topic for row in ledger.outbox(detail.job.job_id) if not row.is_replay]
    completions = {stage.status.stage: stage.status.completion for stage in detail.stages}
    return {name: topics.count(fired.topic) if fired else 0 for name, fired in completions.items()}
