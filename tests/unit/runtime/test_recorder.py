"""Works that become ready while one group commits are the next group; every caller hears what became of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reelwork.errors import InvalidWork, StoreUnavailable
from reelwork.events import Event
from reelwork.ledger import AssetOutcome, BaseJobProgressManager, CompletionPolicy, Work, open_ledger
from reelwork.ledger.records import Completion, Recorded
from reelwork.ledger.sql import SqlLedger
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.world import World
from tests.house import Next, run

STAGES = BaseJobProgressManager(policy=CompletionPolicy(100, None))


def done(*names: str) -> Work:
    return Work(stages=[STAGES.outcomes("job", "items", [AssetOutcome(name) for name in names])])


class CountedLedger(SqlLedger):
    """The real one; it keeps the sizes of its groups, and waits for the test before the first of them."""

    def prepare(self) -> None:
        self.groups: list[int] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def commit_all(self, works: Sequence[Work]) -> list[list[Completion] | Exception]:
        self.groups.append(len(works))
        self.begun.set()
        assert self.go_on.wait(10)
        return super().commit_all(works)


def with_recorder(folder: Path, test: Callable[[Recorder, CountedLedger, list[str]], object]) -> None:
    async def bounded() -> None:
        open_ledger(f"sqlite:///{folder}/db").close()
        from reelwork.database.sqlite import SqliteDatabase

        ledger = CountedLedger(SqliteDatabase(folder / "db"))
        ledger.prepare()
        heard: list[str] = []
        with ThreadPoolExecutor(1) as executor:
            recorder = Recorder(ledger, world=World(executor=executor), after_completion=heard.append)
            try:
                await test(recorder, ledger, heard)  # type: ignore[misc]
            finally:
                ledger.close()

    run(bounded())


def test_what_becomes_ready_meanwhile_is_one_group(tmp_path: Path) -> None:
    async def test(recorder: Recorder, ledger: CountedLedger, heard: list[str]) -> None:
        commits = [asyncio.create_task(recorder.commit(done("a")))]
        assert await asyncio.to_thread(ledger.begun.wait, 10)
        commits += [asyncio.create_task(recorder.commit(done(str(number)))) for number in range(20)]
        await asyncio.sleep(0)
        ledger.go_on.set()
        await asyncio.gather(*commits)
        assert ledger.groups == [1, 20]
        announced = await recorder.commit(Work(stages=[STAGES.announcement("job", "items", 21)]))
        assert [fired.processed_assets for fired in announced] == [21]
        assert heard == ["job"]

    with_recorder(tmp_path, test)


def test_only_the_culprit_hears_of_its_error(tmp_path: Path) -> None:
    class Broken(Next):
        def body(self) -> str:
            raise RuntimeError("no body")

    async def test(recorder: Recorder, ledger: CountedLedger, heard: list[str]) -> None:  # noqa: ARG001
        ledger.go_on.set()
        event: Event = Broken(job_id="job")
        works = [done("a"), done("x" * 300), done("b"), Work(events=[event]), done("c")]
        results = await asyncio.gather(*map(recorder.commit, works), return_exceptions=True)
        assert [type(result) for result in results] == [Recorded, InvalidWork, Recorded, RuntimeError, Recorded]
        assert [asset.asset_id for asset in ledger.assets("job", "items")] == ["a", "b", "c"]

    with_recorder(tmp_path, test)


def test_a_store_that_does_not_answer_leaves_nobody_waiting(tmp_path: Path) -> None:
    async def test(recorder: Recorder, ledger: CountedLedger, heard: list[str]) -> None:  # noqa: ARG001
        ledger.go_on.set()
        await recorder.commit(done("a"))
        ledger.database.close()
        results = await asyncio.gather(*(recorder.commit(done(name)) for name in "bc"), return_exceptions=True)
        assert all(isinstance(result, Exception) for result in results)

    with_recorder(tmp_path, test)


@pytest.mark.parametrize("error", [StoreUnavailable("disk full"), ValueError("no such phase")])
def test_what_is_recorded_stays_recorded_whatever_comes_after(tmp_path: Path, error: Exception) -> None:
    def after_completion(job_id: str) -> None:  # noqa: ARG001
        raise error

    async def test() -> None:
        ledger = open_ledger(f"sqlite:///{tmp_path}/db")
        with ThreadPoolExecutor(1) as executor:
            recorder = Recorder(ledger, world=World(executor=executor), after_completion=after_completion)
            (fired,) = await recorder.commit(Work(stages=[STAGES.announcement("job", "items", 0)]))
            assert fired.reason == "all"
        ledger.close()

    run(test())
