"""A delivery of a stage: every asset gets its outcome, whatever happens to its neighbours."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reelwork.broker import Delivery
from reelwork.errors import PermanentError
from reelwork.ledger import AssetState, CompletionPolicy, JobStatus
from reelwork.runtime import Context
from reelwork.runtime.outcome import HandlerTimeout
from reelwork.runtime.stage_run import CRASHES_MAX
from tests.house import (
    ITEMS,
    STAGE,
    House,
    ItemDone,
    ItemsCompleted,
    ItemsReady,
    ends_service,
    open_house,
    run,
    stage_service,
)

DONE, FAILED, STARTED = AssetState.DONE, AssetState.FAILED, AssetState.STARTED


class Bench:
    """A handler that fails for named assets as often as it is told, and counts its calls."""

    def __init__(self, **failures: list[Exception]) -> None:
        self.failures = failures
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []

    def __call__(self, event: ItemsReady, context: Context) -> dict[str, Any]:
        assert context.asset is not None
        name = context.asset.asset_id
        self.calls[name] += 1
        self.order.append(name)
        context.emit(ItemDone(job_id=event.job_id, name=name))
        if self.failures.get(name):
            raise self.failures[name].pop(0)
        return {"name": name, "call": self.calls[name]}


class TestOutcomes:
    @pytest.mark.parametrize("in_memory", [False, True])
    def test_results_events_and_completion(self, tmp_path: Path, in_memory: bool) -> None:
        async def test() -> None:
            async with open_house(tmp_path, stage_service(Bench()), in_memory=in_memory) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                house.send(job_id, "a", "b")
                house.send(job_id, "c")
                await house.settle()
                assets = list(house.backends.ledger.assets(job_id, STAGE))
                assert [asset.result for asset in assets] == [{"name": name, "call": 1} for name in "abc"]
                done = [row.body for row in house.backends.ledger.outbox(job_id) if row.topic == "tiny.item.done"]
                assert len(done) == 3
                completion = house.stage(job_id).completion
                assert completion is not None
                assert (completion.reason, completion.processed_assets) == ("all", 3)
                assert house.topics(job_id).count("tiny.items.completed") == 1

        run(test())

    def test_a_coroutine_is_a_handler_too(self, tmp_path: Path) -> None:
        bench = Bench(b=[PermanentError("broken")], c=[OSError("busy")])

        async def handle(event: ItemsReady, context: Context) -> dict[str, Any]:
            await asyncio.sleep(0)
            return bench(event, context)

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle)) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                house.send(job_id, "a", "b", "c")
                await house.run_dry()
                assert house.states(job_id) == {"a": DONE, "b": FAILED, "c": DONE}
                assert bench.calls == {"a": 1, "b": 1, "c": 2}

        run(test())

    def test_one_transient_failure_holds_nobody_up(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench(b=[OSError("busy")] * 2)
            async with open_house(tmp_path, stage_service(bench)) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                house.send(job_id, "a", "b", "c")
                await house.settle()
                assert house.states(job_id) == {"a": DONE, "c": DONE}
                assert house.stage(job_id).completion is None
                await house.run_dry()
                assert house.states(job_id) == {"a": DONE, "b": DONE, "c": DONE}
                assert bench.calls == {"a": 1, "b": 3, "c": 1}
                assert house.topics(job_id).count("tiny.item.done") == 3
                assert house.letters() == []

        run(test())

    def test_one_permanent_failure_holds_nobody_up(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench(b=[PermanentError("unreadable")])
            async with open_house(tmp_path, stage_service(bench)) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                house.send(job_id, "a", "b", "c")
                await house.settle()
                assert house.states(job_id) == {"a": DONE, "b": FAILED, "c": DONE}
                assert house.errors(job_id) == {"b": "unreadable"}
                completion = house.stage(job_id).completion
                assert completion is not None
                assert (completion.reason, completion.has_partial_completion) == ("settled", True)
                assert [letter.error for letter in house.letters(job_id)] == ["b: unreadable"]
                assert house.job(job_id).status is JobStatus.RUNNING
                assert house.topics(job_id).count("tiny.item.done") == 2, "no event of a failed asset"

        run(test())

    def test_after_five_attempts_only_what_failed_is_failed(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench(a=[OSError("busy")] * 99, c=[PermanentError("unreadable")])
            async with open_house(tmp_path, stage_service(bench)) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                house.send(job_id, "a", "b", "c")
                await house.run_dry()
                assert house.states(job_id) == {"a": FAILED, "b": DONE, "c": FAILED}
                assert house.errors(job_id) == {"a": "OSError: busy", "c": "unreadable"}
                assert bench.calls == {"a": 5, "b": 1, "c": 1}
                assert house.stage(job_id).completion is not None
                assert len(house.letters(job_id)) == 1

        run(test())

    @pytest.mark.parametrize(
        ("result", "why"),
        [
            ({"text": "x" * 4100}, "4111 bytes, 4096 at most"),
            ({"set": {1, 2}}, "is not JSON"),
            ({"nan": float("nan")}, "is not JSON"),
            (7, "must return a dict or None, not 7"),
        ],
    )
    def test_a_result_that_no_ledger_takes_fails_its_own_asset_only(
        self, tmp_path: Path, result: object, why: str
    ) -> None:
        def handle(_event: Any, context: Context) -> object:
            assert context.asset is not None
            return result if context.asset.asset_id == "b" else {"text": "x" * 4085}

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle)) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                house.send(job_id, "a", "b", "c")
                await house.settle()
                assert house.states(job_id) == {"a": DONE, "b": FAILED, "c": DONE}
                assert why in house.errors(job_id)["b"]

        run(test())

    def test_its_handler_cannot_end_the_job(self, tmp_path: Path) -> None:
        def handle(_event: Any, context: Context) -> None:
            context.fail_job("one picture is dark")

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle)) as house:
                job_id = house.start()
                house.send(job_id, "a")
                await house.settle()
                assert "cannot start or end the job" in house.errors(job_id)["a"]
                assert house.job(job_id).status is JobStatus.RUNNING
                assert "job.failed" not in house.topics(job_id)

        run(test())

    def test_ids_that_no_ledger_takes_end_as_a_dead_letter(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench()
            async with open_house(tmp_path, stage_service(bench)) as house:
                job_id = house.start()
                house.send(job_id, "a", "x" * 300)
                await house.run_dry()
                assert [letter.attempts for letter in house.letters(job_id)] == [1]
                assert "1 to 256 characters" in str(house.job(job_id).error_message)

        run(test())

    def test_a_redelivery_skips_what_is_recorded(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench()
            async with open_house(tmp_path, stage_service(bench)) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                house.send(job_id, "a", "b")
                house.send(job_id, "a", "b")
                await house.settle()
                assert bench.calls == {"a": 1, "b": 1}
                assert house.topics(job_id).count("tiny.item.done") == 2

        run(test())

    def test_events_go_out_only_with_the_work_that_made_the_asset_done(self, tmp_path: Path) -> None:
        """Two workers have the same asset in hand; the second to finish emits nothing."""
        both_begun, calls = threading.Barrier(2), Counter[str]()

        def handle(event: ItemsReady, context: Context) -> dict[str, Any]:
            calls[event.job_id] += 1
            both_begun.wait(10)
            context.emit(ItemDone(job_id=event.job_id, name=context.attempt))
            return {"attempt": context.attempt}

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle)) as house:
                job_id = house.start()
                house.announce(job_id, 1)
                house.send(job_id, "a")
                house.send(job_id, "a")
                deliveries = await house.take(ITEMS, limit=2)
                await asyncio.gather(*(house.handle(delivery) for delivery in deliveries))
                (asset,) = house.backends.ledger.assets(job_id, STAGE)
                events = [row.body for row in house.backends.ledger.outbox(job_id) if row.topic == "tiny.item.done"]
                assert asset.result is not None
                assert len(events) == 1
                assert asset.result["attempt"] in events[0]
                assert calls[job_id] == 2

        run(test())

    def test_a_late_asset_sends_its_event_and_completes_nothing_again(self, tmp_path: Path) -> None:
        async def test() -> None:
            policy = CompletionPolicy(50, None)
            async with open_house(tmp_path, stage_service(Bench(), policy=policy)) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                await house.settle()
                for name in "ab":
                    house.send(job_id, name)
                await house.settle()
                assert house.topics(job_id).count("tiny.items.completed") == 1
                assert house.topics(job_id).count("tiny.item.done") == 2
                assert (house.stage(job_id).done, house.stage(job_id).late) == (2, 1)

        run(test())


class TestReplay:
    def test_retries_only_what_failed(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench(b=[PermanentError("unreadable")], c=[PermanentError("unreadable")] * 2)
            async with open_house(tmp_path, stage_service(bench)) as house:
                job_id = house.start()
                house.announce(job_id, 4)
                house.send(job_id, "a", "b", "c")
                await house.settle()
                house.replay(job_id)
                await house.settle()
                assert house.states(job_id) == {"a": DONE, "b": DONE, "c": FAILED}
                assert bench.calls == {"a": 1, "b": 2, "c": 2}
                assert (house.stage(job_id).done, house.stage(job_id).failed) == (2, 1)
                house.replay(job_id)
                await house.settle()
                assert house.states(job_id)["c"] is DONE
                assert [letter.replayed_at is None for letter in house.letters(job_id)] == [False, False]
                house.send(job_id, "d")
                await house.settle()
                assert house.topics(job_id).count("tiny.items.completed") == 1

        run(test())

    def test_with_retries_in_between(self, tmp_path: Path) -> None:
        """A replay that fails for now is a replay still when it comes back."""

        async def test() -> None:
            bench = Bench(a=[PermanentError("no"), OSError("busy"), OSError("busy")])
            async with open_house(tmp_path, stage_service(bench)) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                house.send(job_id, "a")
                await house.settle()
                house.replay(job_id)
                await house.run_dry()
                assert house.states(job_id) == {"a": DONE}
                assert bench.calls["a"] == 4

        run(test())

    def test_that_fills_the_gap_brings_the_job_back_and_completes_it(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench(b=[PermanentError("torn")])
            needs_all = CompletionPolicy(100, None, allow_partial=False)
            async with open_house(tmp_path, stage_service(bench, policy=needs_all)) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                house.send(job_id, "a")
                house.send(job_id, "b")
                await house.settle()
                job = house.job(job_id)
                assert job.status is JobStatus.FAILED
                assert job.error_message == f"stage {STAGE} needs all its assets; missing: b (torn)"
                assert house.stage(job_id).completion is None
                house.replay(job_id)
                await house.settle()
                assert house.job(job_id).status is JobStatus.RUNNING
                completion = house.stage(job_id).completion
                assert completion is not None
                assert completion.reason == "all"

        run(test())

    def test_that_is_judged_for_now_and_mended_later_leaves_the_job_alive(self, tmp_path: Path) -> None:
        """In one replay, one asset is beyond hope at first and another must be tried again."""

        async def test() -> None:
            bench = Bench(a=[PermanentError("torn")] * 2, b=[PermanentError("torn"), OSError("busy")])
            needs_all = CompletionPolicy(100, None, allow_partial=False)
            async with open_house(tmp_path, stage_service(bench, policy=needs_all)) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                house.send(job_id, "a", "b")
                await house.settle()
                house.replay(job_id)
                await house.run_dry()
                assert house.states(job_id) == {"a": DONE, "b": DONE}
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_before_the_stage_has_fallen_short_fills_the_gap_too(self, tmp_path: Path) -> None:
        async def test() -> None:
            bench = Bench(a=[PermanentError("torn")])
            needs_all = CompletionPolicy(100, None, allow_partial=False)
            async with open_house(tmp_path, stage_service(bench, policy=needs_all)) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                house.send(job_id, "a")
                await house.settle()
                house.send(job_id, "b")
                house.replay(job_id)
                await house.settle()
                assert house.states(job_id) == {"a": DONE, "b": DONE}
                assert house.stage(job_id).completion is not None
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_of_a_late_asset_does_not_leave_its_job_running_for_ever(self, tmp_path: Path) -> None:
        def end(event: ItemsCompleted, context: Context) -> None:
            if event.processed_assets == 0:
                context.fail_job("nothing came out")

        async def test() -> None:
            bench = Bench(a=[PermanentError("torn")])
            async with open_house(tmp_path, stage_service(bench), ends_service(end)) as house:
                job_id = house.start()
                house.announce(job_id, 1)
                house.send(job_id, "a")
                await house.run_dry()
                assert house.job(job_id).status is JobStatus.FAILED
                house.replay(job_id)
                await house.run_dry()
                assert house.states(job_id) == {"a": DONE}
                assert house.job(job_id).status is not JobStatus.RUNNING

        run(test())


class TestCrashes:
    """Workers that die are coroutines that never come back: their leases end, and somebody else gets the message."""

    def test_an_asset_that_kills_its_worker_uses_up_its_own_attempts_only(self, tmp_path: Path) -> None:
        async def test() -> None:
            mortals = Mortals("b")
            async with open_house(tmp_path, stage_service(mortals.handle)) as house:
                job_id = house.start()
                house.announce(job_id, 4)
                house.send(job_id, "a", "b", "c")
                house.send(job_id, "d")
                deaths = await mortals.work(house)
                assert deaths == mortals.calls["b"] == 1 + CRASHES_MAX
                assert house.states(job_id) == {"a": DONE, "b": FAILED, "c": DONE, "d": DONE}
                assert house.errors(job_id) == {"b": "its worker died 3 times while working on it"}
                assert mortals.calls["c"] == 1
                assert house.stage(job_id).completion is not None
                assert len(house.letters(job_id)) == 1

        run(test())

    def test_a_replay_tries_it_once_more(self, tmp_path: Path) -> None:
        async def test() -> None:
            mortals = Mortals("b")
            async with open_house(tmp_path, stage_service(mortals.handle)) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                house.send(job_id, "a", "b")
                await mortals.work(house)
                mortals.killers.clear()
                house.replay(job_id)
                await house.settle()
                assert house.states(job_id) == {"a": DONE, "b": DONE}

        run(test())

    def test_what_was_recorded_before_the_death_is_kept(self, tmp_path: Path) -> None:
        async def test() -> None:
            mortals = Mortals("c")
            async with open_house(tmp_path, stage_service(mortals.handle)) as house:
                job_id = house.start()
                house.send(job_id, "a", "b", "c")
                (delivery,) = await house.take(ITEMS)
                assert not await mortals.survives(house, delivery)
                while house.states(job_id) != {"a": DONE, "b": DONE}:  # they are recorded while the third is tried
                    await asyncio.sleep(0)
                await mortals.work(house)
                assert mortals.calls["a"] == mortals.calls["b"] == 1

        run(test())


class TestTimeouts:
    def test_an_asset_that_hangs_costs_its_neighbours_nothing(self, tmp_path: Path) -> None:
        go_on, calls = threading.Event(), Counter[str]()

        def handle(_event: ItemsReady, context: Context) -> None:
            assert context.asset is not None
            calls[context.asset.asset_id] += 1
            if context.asset.asset_id == "b":
                assert go_on.wait(10)

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle, timeout_seconds=0.02)) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                await house.settle()
                house.send(job_id, "a", "b", "c")
                with pytest.raises(HandlerTimeout):
                    await house.handle(await house.take_one(ITEMS))
                assert house.states(job_id) == {"a": DONE, "b": STARTED}
                for _ in range(4):
                    house.threads = ThreadPoolExecutor(1)  # as in a new process
                    house.clock.advance(60)
                    with pytest.raises(HandlerTimeout):
                        await house.handle(await house.take_one(ITEMS))
                go_on.set()
                assert house.states(job_id) == {"a": DONE, "b": FAILED, "c": DONE}
                assert house.errors(job_id) == {"b": f"the handler of {ITEMS} ran longer than 0.22 s"}
                assert calls == {"a": 1, "b": 5, "c": 1}
                assert house.stage(job_id).completion is not None

        run(test())

    def test_a_coroutine_that_hangs_is_one_failure_of_its_asset(self, tmp_path: Path) -> None:
        async def handle(_event: ItemsReady, context: Context) -> None:
            assert context.asset is not None
            if context.asset.asset_id == "b":
                await asyncio.Event().wait()

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle, timeout_seconds=0.01)) as house:
                job_id = house.start()
                house.announce(job_id, 3)
                house.send(job_id, "a", "b", "c")
                await house.run_dry()
                assert house.states(job_id) == {"a": DONE, "b": FAILED, "c": DONE}
                assert house.errors(job_id) == {"b": f"TimeoutError: the handler of {ITEMS} ran longer than 0.01 s"}

        run(test())


class TestCancelledJobs:
    def test_the_rest_of_a_delivery_is_dropped(self, tmp_path: Path) -> None:
        begun, calls = threading.Event(), Counter[str]()

        def handle(event: ItemsReady, context: Context) -> None:
            assert context.asset is not None
            calls[context.asset.asset_id] += 1
            context.emit(ItemDone(job_id=event.job_id, name=context.asset.asset_id))
            begun.set()
            assert context.cancelled.wait(10)
            context.raise_if_cancelled()

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle), REELWORK_LEASE_SECONDS=0.03) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                house.send(job_id, "a", "b")
                working = asyncio.create_task(house.handle(await house.take_one(ITEMS)))
                assert await asyncio.to_thread(begun.wait, 10)
                await asyncio.to_thread(house.jobs.cancel, job_id)
                await working
                await house.settle()
                assert calls == {"a": 1}
                assert house.topics(job_id)[-1] == "job.cancelled"
                assert house.letters() == []
                assert not await house.broker.holds(job_id, [ITEMS, f"{ITEMS}.batch"])

        run(test())

    def test_what_was_done_when_it_was_cancelled_completes_nothing(self, tmp_path: Path) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def handle(event: ItemsReady, context: Context) -> None:
            context.emit(ItemDone(job_id=event.job_id, name="a"))
            begun.set()
            assert go_on.wait(10)

        async def test() -> None:
            async with open_house(tmp_path, stage_service(handle)) as house:
                job_id = house.start()
                house.announce(job_id, 1)
                await house.settle(f"{ITEMS}.batch")
                house.send(job_id, "a")
                working = asyncio.create_task(house.handle(await house.take_one(ITEMS)))
                assert await asyncio.to_thread(begun.wait, 10)
                await asyncio.to_thread(house.jobs.cancel, job_id)
                go_on.set()
                await working
                assert house.stage(job_id).completion is None
                assert house.topics(job_id)[-1] == "job.cancelled"

        run(test())


class Mortals:
    """Workers one after the other; each of the `killers` among the assets is the end of its worker."""

    def __init__(self, *killers: str) -> None:
        self.killers = set(killers)
        self.calls: Counter[str] = Counter()
        self._died = asyncio.Event()
        self._dead: list[asyncio.Task[None]] = []

    async def handle(self, _event: ItemsReady, context: Context) -> None:
        assert context.asset is not None
        self.calls[context.asset.asset_id] += 1
        if context.asset.asset_id in self.killers:
            self._died.set()
            await asyncio.Event().wait()

    async def survives(self, house: House, delivery: Delivery) -> bool:
        self._died.clear()
        working, dying = asyncio.create_task(house.handle(delivery)), asyncio.create_task(self._died.wait())
        await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not working.done():
            self._dead.append(working)
            await house.crash(delivery)
        return working.done()

    async def work(self, house: House) -> int:
        """Until nothing is left to do; how many died."""
        deaths = 0
        while deliveries := [*await house.take(f"{ITEMS}.batch"), *await house.take(ITEMS)]:
            for delivery in deliveries:
                deaths += not await self.survives(house, delivery)
        for body in self._dead:
            body.cancel()
        await asyncio.gather(*self._dead, return_exceptions=True)
        return deaths
