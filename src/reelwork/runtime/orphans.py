"""Removes objects that nothing names: what attempts wrote that do not count, and inputs whose job was never recorded.

Must never remove what a job may still need: only what is an hour old, and has no job or one that is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import structlog

from reelwork.ledger import AssetState, Job, Ledger
from reelwork.objects import ObjectStore
from reelwork.objects.keys import INPUT_PREFIX, job_of_input, stages_prefix
from reelwork.runtime.world import World

ORPHAN_AGE_SECONDS: Final = 3_600
JOBS_PER_SWEEP_MAX: Final = 20
INPUTS_AT_A_TIME: Final = 500

log = structlog.get_logger("reelwork.sweeper")


class Orphans:
    """Blocking. Its time is the clock's, but for jumps ahead: an upload of this moment must not look an hour old
    because somebody has set the clock.
    """

    def __init__(self, ledger: Ledger, objects: ObjectStore, *, world: World) -> None:
        self._ledger = ledger
        self._objects = objects
        self._world = world
        self._inputs_due_at_ms = 0
        self._ahead_of_monotonic = world.clock() - world.monotonic()

    def remove(self) -> None:
        """Looks at the jobs that are over each time, and at the inputs once an hour."""
        now_ms = self._now_ms()
        before_ms = now_ms - ORPHAN_AGE_SECONDS * 1000
        self._remove_attempts(before_ms)
        if now_ms >= self._inputs_due_at_ms:
            self._inputs_due_at_ms = now_ms + ORPHAN_AGE_SECONDS * 1000
            self._remove_inputs(before_ms)

    def _now_ms(self) -> int:
        steady = self._ahead_of_monotonic + self._world.monotonic()
        return round(min(self._world.clock(), steady) * 1000)

    def _remove_attempts(self, before_ms: int) -> None:
        for job in self._ledger.unswept_jobs(ended_before_ms=before_ms, limit=JOBS_PER_SWEEP_MAX):
            orphans = set(self._objects.keys(stages_prefix(job.job_id))) - self._named_objects(job)
            self._objects.delete(sorted(orphans))
            self._ledger.mark_swept(job.job_id)
            log.info("reelwork.sweeper.orphans", job_id=job.job_id, removed=len(orphans))

    def _named_objects(self, job: Job) -> set[str]:
        named: set[str] = set()
        for stage in self._ledger.stage_status(job.job_id):
            for asset in self._ledger.assets(job.job_id, stage.stage, states=[AssetState.DONE]):
                named.update(_texts(asset.result))
        return named

    def _remove_inputs(self, before_ms: int) -> None:
        """A process that is killed between an upload and the commit of its job leaves one."""
        removed = self._objects.remove_cut_off(before_ms=before_ms)
        inputs = self._objects.keys(INPUT_PREFIX, before_ms=before_ms)
        while keys := list(islice(inputs, INPUTS_AT_A_TIME)):
            jobs = {key: job_id for key in keys if (job_id := job_of_input(key)) is not None}
            known = self._ledger.find_jobs(sorted(set(jobs.values())))
            orphans = [key for key, job_id in jobs.items() if job_id not in known]
            self._objects.delete(orphans)
            removed += len(orphans)
        if removed:
            log.info("reelwork.sweeper.inputs_without_job", removed=removed)


def _texts(result: Any) -> Iterator[str]:
    """Every text in the result of an asset, however deep: any may be the key of an object."""
    if isinstance(result, str):
        yield result
    elif isinstance(result, Mapping | list):
        for value in result.values() if isinstance(result, Mapping) else result:
            yield from _texts(value)
