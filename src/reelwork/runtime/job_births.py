"""Jobs whose messages come before them: the first one makes its job, or sets it going, with what it says of its stage.

One work does all of that, whoever else does the same at the same time, and whatever became of the job meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from reelwork.errors import InvalidWork
from reelwork.ledger import Job, JobMove, JobStatus, NewJob, Work
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.stage_run import StageRun

if TYPE_CHECKING:
    from reelwork.runtime.handling import Handling

log = structlog.get_logger("reelwork.worker")


async def begin_jobs(
    handling: Handling, subscription: Subscription, runs: Sequence[StageRun], jobs: Mapping[str, Job]
) -> Mapping[str, Job]:
    """The jobs of these deliveries, those among them that were unknown or had not begun; `jobs`: those known.

    A delivery whose job cannot be made gets the error.
    """
    works: dict[str, Work] = {}
    for run in runs:
        job = jobs.get(run.event.job_id)
        if run.event.job_id in works or (job is not None and not _is_to_begin(subscription, job)):
            continue
        try:
            works[run.event.job_id] = await _work(handling, subscription, run, job)
        except Exception as error:
            run.error = error
    if not works:
        return jobs
    results = dict(zip(works, await handling.recorder.commit_all([*works.values()]), strict=True))
    for run in runs:
        result = results.get(run.event.job_id)
        if isinstance(result, Exception):
            run.error = result
    try:
        return {**jobs, **await handling.recorder.read(handling.ledger.find_jobs, list(works))}
    except Exception as error:
        for run in runs:
            run.error = run.error or error
        return jobs


def _is_to_begin(subscription: Subscription, job: Job) -> bool:
    return job.status is JobStatus.PENDING and subscription.takes(job)


async def _work(handling: Handling, subscription: Subscription, run: StageRun, job: Job | None) -> Work:
    assert subscription.stage is not None
    assert subscription.makes_job is not None
    job_id, announced = run.event.job_id, run.event.announced
    if announced is None:
        raise InvalidWork(f"{subscription.queue} may make jobs only from messages that say how many assets there are")
    new_job: NewJob | None = None
    if job is None:
        made = await handling.recorder.read(subscription.makes_job, run.event, handling.objects)
        new_job = replace(made, if_absent=True)  # somebody else may be faster
        pipeline = new_job.pipeline
        log.info("reelwork.worker.makes_job", job_id=job_id, pipeline=pipeline, queue=subscription.queue)
    else:
        pipeline = job.pipeline
    phase = handling.first_phase_of(pipeline)
    allowed = frozenset({JobStatus.PENDING})
    begun = JobMove(job_id=job_id, allowed=allowed, to=JobStatus.RUNNING, phase=phase, lenient=True)
    announcement = handling.stages.announcement(job_id, subscription.stage.name, announced)
    return Work(new_job=new_job, moves=[begun], stages=[announcement])
