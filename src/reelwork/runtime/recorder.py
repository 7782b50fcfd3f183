"""The event loop's way into the ledger: works that become ready while one group commits form the next group."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import Any, TypeVar

import structlog

from reelwork.ledger import AssetState, Completion, Ledger, Work
from reelwork.ledger.records import Recorded
from reelwork.runtime.metrics.catalogue import (
    ASSETS,
    COMMIT_SECONDS,
    COMPLETION_SECONDS,
    COMPLETIONS,
    GROUP_SIZE,
)
from reelwork.runtime.world import World

T = TypeVar("T")
Results = Sequence[list[Completion] | Exception]
log = structlog.get_logger("reelwork.recorder")


class Recorder:
    """`after_completion` is called, where the ledger is called, with the job of every stage that completed here, or
    that settled here after it had completed. publishes: what is committed is published, too.
    """

    def __init__(
        self, ledger: Ledger, *, world: World, after_completion: Callable[[str], None], publishes: bool = False
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._after_completion = after_completion
        self._publishes = publishes
        self._waiting: list[tuple[Sequence[Work], asyncio.Future[Results]]] = []
        self._committer: asyncio.Task[None] | None = None

    async def commit(self, work: Work) -> list[Completion]:
        """As `Ledger.commit`, without blocking the event loop."""
        (result,) = await self.commit_all([work])
        if isinstance(result, Exception):
            raise result
        return result

    async def commit_all(self, works: Sequence[Work]) -> Results:
        """As `Ledger.commit_all`, without blocking the event loop: one result or error for each work."""
        future: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
        self._waiting.append((works, future))
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_waiting())
        return await future

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls something of the ledger that blocks, and does not wait for commits."""
        return await self._call(self._world.reader or self._world.executor, function, *arguments)

    async def _commit_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            results = iter(await self._results([work for works, _ in group for work in works]))
            for works, future in group:
                own = list(islice(results, len(works)))
                if not future.cancelled():
                    future.set_result(own)

    async def _results(self, works: list[Work]) -> Results:
        try:
            return await self._call(self._world.executor, self._commit_group, works)
        except Exception as error:  # every caller must hear of it, or it would wait for ever
            return [error] * len(works)

    @staticmethod
    async def _call(executor: Executor, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)

    def _commit_group(self, works: list[Work]) -> Results:
        started = time.perf_counter()
        results = self._ledger.commit_all(works)
        self._count(works, results, time.perf_counter() - started)
        recorded = [result for result in results if isinstance(result, Recorded)]
        completed = {fired.job_id for result in recorded for fired in result}
        for job_id in sorted(completed.union(*(result.settled for result in recorded))):
            try:
                self._after_completion(job_id)
            except Exception as error:  # the works are recorded, whatever comes after; the next sweep makes up for it
                log.exception("reelwork.recorder.after_completion_failed", job_id=job_id, error=str(error))
        return results

    def _count(self, works: Sequence[Work], results: Results, seconds: float) -> None:
        """Once for a group, however many assets it holds."""
        try:
            self._count_group(works, results, seconds)
        except Exception as error:  # the works are recorded, and nobody may hear otherwise
            log.exception("reelwork.recorder.count_failed", error=str(error))

    def _count_group(self, works: Sequence[Work], results: Results, seconds: float) -> None:
        GROUP_SIZE.observe(len(works))
        COMMIT_SECONDS.observe(seconds)
        outcomes: Counter[tuple[str, AssetState]] = Counter()
        for work, result in zip(works, results, strict=True):
            if isinstance(result, Exception):
                continue
            for update in work.stages:
                states = [outcome.state for outcome in update.outcomes]
                for state in (AssetState.DONE, AssetState.FAILED) if states else ():
                    outcomes[update.stage, state] += states.count(state)
            for completion in result:
                COMPLETIONS.count(completion.stage, completion.reason)
                if self._publishes:
                    COMPLETION_SECONDS.observe(seconds)
        for (stage, state), count in outcomes.items():
            if count:
                ASSETS.count(stage, state, by=count)
