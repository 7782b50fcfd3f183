"""Moves jobs through their phases. Level-triggered: it looks at what is recorded, never at which message came last."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from reelwork.errors import JobNotFound, JobTransitionRefused, StoreUnavailable
from reelwork.events import Event, JobCompleted, stable_event_id
from reelwork.ledger import Job, JobMove, JobStatus, Ledger, StageStatus, Work
from reelwork.runtime import tracing
from reelwork.runtime.declaration import Catalogue, Phase, Pipeline
from reelwork.runtime.metrics.catalogue import JOB_SECONDS, PHASE_MOVES
from reelwork.runtime.world import World

ALIVE = frozenset({JobStatus.RUNNING})

log = structlog.get_logger("reelwork.conductor")


class Conductor:
    """settle_seconds: how long after a partial completion, and after the last asset that came behind it, the phase
    still waits for the rest of its assets.
    """

    def __init__(self, ledger: Ledger, catalogue: Catalogue, *, world: World, settle_seconds: float) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._world = world
        self._settle_ms = round(settle_seconds * 1000)

    def advance(self, job_id: str) -> None:
        """Moves the job as far as its recorded completions allow.

        Safe to call at any time, from anywhere, any number of times.
        """
        while self._step(job_id):
            pass

    def sweep(self) -> None:
        """Advances every running job; one that cannot be advanced does not hold up the others."""
        after = ""
        while page := self._ledger.running_jobs(after=after):
            for job_id in page:
                try:
                    self.advance(job_id)
                except StoreUnavailable:
                    raise
                except Exception as error:
                    log.exception("reelwork.conductor.failed", job_id=job_id, error=str(error))
            after = page[-1]

    def _step(self, job_id: str) -> bool:
        try:
            job = self._ledger.job(job_id)
        except JobNotFound:
            return False
        pipeline = self._catalogue.pipelines.get(job.pipeline)
        if pipeline is None or job.status is not JobStatus.RUNNING or job.phase is None:
            return False
        number = [phase.name for phase in pipeline.phases].index(job.phase)
        stages = {stage.stage: stage for stage in self._ledger.stage_status(job_id)}
        phase = pipeline.phases[number]
        if not self._is_over(phase, stages):
            return False
        return self._move(job, pipeline, number + 1, because=[stages[name] for name in phase.stages or ()])

    def _is_over(self, phase: Phase, stages: dict[str, StageStatus]) -> bool:
        if phase.stages is None or phase.is_left_by_service:
            return False
        return all(self._has_settled(stages.get(name)) for name in phase.stages)

    def _has_settled(self, stage: StageStatus | None) -> bool:
        if stage is None or stage.completed_at is None:
            return False
        if stage.is_settled:
            return True
        if not self._is_long_ago(stage.completed_at):
            return False
        return not stage.late or self._is_long_ago(self._ledger.last_recorded_at(stage.job_id, stage.stage) or 0)

    def _is_long_ago(self, at_ms: int) -> bool:
        """Either way: a clock that was set back must not make the job wait for as long."""
        return abs(self._world.now_ms() - at_ms) >= self._settle_ms

    def _move(self, job: Job, pipeline: Pipeline, number: int, *, because: Sequence[StageStatus]) -> bool:
        events: list[Event] = []
        if number == len(pipeline.phases):
            event_id = stable_event_id(f"{job.job_id}/{JobCompleted.topic}")
            events.append(JobCompleted(job_id=job.job_id, event_id=event_id))
            move = JobMove(job_id=job.job_id, allowed=ALIVE, phase_was=job.phase, to=JobStatus.COMPLETED)
        else:
            phase = pipeline.phases[number]
            if phase.request is not None:
                events.append(phase.request(job))
            move = JobMove(job_id=job.job_id, allowed=ALIVE, phase_was=job.phase, phase=phase.name)
        try:
            self._ledger.commit(Work(moves=[move], events=events))
        except JobTransitionRefused:
            return False  # another conductor was faster, or the job is over
        log.info("reelwork.conductor.moved", job_id=job.job_id, pipeline=job.pipeline, phase=move.phase or "completed")
        tracing.moved(job, move.phase, because, events)
        PHASE_MOVES.count(job.pipeline, move.phase or "completed")
        if move.to is JobStatus.COMPLETED:
            JOB_SECONDS.observe((self._world.now_ms() - job.created_at) / 1000, job.pipeline)
        return True
