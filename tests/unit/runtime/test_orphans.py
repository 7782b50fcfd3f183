"""What nothing names is removed: outputs of attempts that do not count, and inputs whose job was never recorded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from reelwork.errors import PermanentError
from reelwork.ledger import AssetOutcome, CompletionPolicy, JobMove, JobStatus, NewJob, Work
from reelwork.objects.keys import input_key, stage_output_key
from reelwork.runtime.orphans import ORPHAN_AGE_SECONDS, Orphans
from tests.house import STAGE, House, open_house, run, stage_service


def nothing(_event: object, _context: object) -> None: ...


def orphans_of(house: House) -> Orphans:
    world = replace(house.backends.world, monotonic=house.clock)
    return Orphans(house.backends.ledger, house.backends.objects, world=world)


def remove_after(house: House, seconds: float) -> None:
    house.clock.advance(seconds)
    orphans_of(house).remove()


class TestAttempts:
    def test_a_job_that_is_replayed_keeps_what_it_writes(self, tmp_path: Path) -> None:
        houses: list[House] = []
        failures = [PermanentError("torn")]

        def work(_event: object, context: Any) -> dict[str, str]:
            if failures:
                raise failures.pop()
            key = stage_output_key(context.job.job_id, STAGE, "a", context.attempt)
            context.objects.put(key, b"bytes")
            orphans_of(houses[0]).remove()  # another process sweeps at the worst moment
            return {"key": key}

        async def test() -> None:
            policy = CompletionPolicy(100, None, allow_partial=False)
            async with open_house(tmp_path, stage_service(work, policy=policy)) as house:
                houses.append(house)
                job_id = house.start()
                house.announce(job_id, 1)
                house.send(job_id, "a")
                await house.settle()
                house.clock.advance(2 * ORPHAN_AGE_SECONDS)
                house.replay(job_id)
                await house.settle()
                (asset,) = house.backends.ledger.assets(job_id, STAGE)
                assert asset.result is not None
                assert house.backends.objects.exists(asset.result["key"])

        run(test())

    def test_named_objects_stay(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path, stage_service(nothing)) as house:
                job_id = house.start()
                objects = house.backends.objects
                keys = {name: stage_output_key(job_id, STAGE, "a", name) for name in ("named", "nested", "orphan")}
                for key in keys.values():
                    objects.put(key, b"bytes")
                result = {"key": keys["named"], "pages": [{"key": keys["nested"]}], "count": 2}
                house.commit(
                    Work(stages=[house.backends.stages.outcomes(job_id, STAGE, [AssetOutcome("a", result=result)])])
                )
                remove_after(house, 2 * ORPHAN_AGE_SECONDS)
                assert len(list(objects.keys(f"jobs/{job_id}/"))) == 3, "a job that runs keeps what it writes"
                alive = frozenset({JobStatus.RUNNING})
                house.commit(Work(moves=[JobMove(job_id=job_id, allowed=alive, to=JobStatus.COMPLETED)]))
                remove_after(house, ORPHAN_AGE_SECONDS - 1)
                assert len(list(objects.keys(f"jobs/{job_id}/"))) == 3
                remove_after(house, 1)
                assert set(objects.keys(f"jobs/{job_id}/")) == {keys["named"], keys["nested"]}

        run(test())


class TestInputs:
    def test_what_has_no_job_goes_after_an_hour(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path, stage_service(nothing)) as house:
                objects, ledger = house.backends.objects, house.backends.ledger
                job_id = str(uuid4())
                ledger.commit(Work(new_job=NewJob(job_id=job_id, pipeline="tiny", input_path=input_key(job_id))))
                known, abandoned, fresh = input_key(job_id), input_key(str(uuid4())), input_key(str(uuid4()))
                cut_off = tmp_path / "objects" / f"{input_key(str(uuid4()))}#1"
                for key in (known, abandoned, fresh):
                    objects.put(key, b"video")
                cut_off.parent.mkdir(parents=True)
                cut_off.write_bytes(b"vid")
                written_at = house.clock()
                for key in (known, abandoned):
                    os.utime(tmp_path / "objects" / key, (written_at, written_at))
                os.utime(cut_off, (written_at, written_at))
                os.utime(tmp_path / "objects" / fresh, (written_at + 1, written_at + 1))

                remove_after(house, ORPHAN_AGE_SECONDS)
                assert set(objects.keys("input/")) == {known, abandoned, fresh}, "an upload may take an hour"
                remove_after(house, 1)
                assert set(objects.keys("input/")) == {known, fresh}
                assert not cut_off.parent.exists()

        run(test())

    def test_a_clock_that_jumps_ahead_makes_nothing_old(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path, stage_service(nothing)) as house:
                objects, true_time = house.backends.objects, house.clock()
                world = replace(house.backends.world, monotonic=lambda: true_time)
                orphans = Orphans(house.backends.ledger, objects, world=world)
                uploaded = input_key(str(uuid4()))  # its job is committed in a moment
                objects.put(uploaded, b"video")
                os.utime(tmp_path / "objects" / uploaded, (true_time, true_time))
                house.clock.advance(2 * ORPHAN_AGE_SECONDS)
                orphans.remove()
                assert objects.exists(uploaded)
                true_time += 2 * ORPHAN_AGE_SECONDS
                orphans.remove()
                assert not objects.exists(uploaded)

        run(test())

    def test_one_sweeper_looks_once_an_hour(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with open_house(tmp_path, stage_service(nothing)) as house:
                orphans, key = orphans_of(house), input_key(str(uuid4()))
                orphans.remove()
                house.backends.objects.put(key, b"video")
                os.utime(tmp_path / "objects" / key, (0, 0))
                house.clock.advance(ORPHAN_AGE_SECONDS - 1)
                orphans.remove()
                assert house.backends.objects.exists(key)
                house.clock.advance(1)
                orphans.remove()
                assert not house.backends.objects.exists(key)

        run(test())
