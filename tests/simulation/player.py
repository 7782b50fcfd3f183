"""Plays the handlers: each thing a handler works on has its fate, which may be the end of its process."""

from __future__ import annotations

import asyncio

from reelwork.errors import PermanentError
from tests.simulation.marks import check_marks
from tests.simulation.process import CURRENT, Process
from tests.simulation.scenario import STAGES, Fate, StageShape
from tests.simulation.setting import Setting


class Player:
    """An `Actor` of the pipeline. played: how often each thing was worked on, by (job id, thing)."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._timeout_seconds = setting.scenario.handler_timeout_seconds
        self.played: dict[tuple[str, str], int] = {}

    def stage_shape(self, job_id: str, stage: str) -> StageShape:
        return self._setting.shapes[job_id].stages[stage]

    async def play(self, job_id: str, thing: str) -> None:
        process = CURRENT.get()
        assert process is not None
        fate, time = self._next_fate(process, job_id, thing)
        await asyncio.sleep(fate.seconds)
        if self._is_bad(fate, time):
            if fate.kind == "killer":
                await process.die(f"by {thing}")
            if fate.kind == "hanging":
                await asyncio.sleep(10 * self._timeout_seconds)
            if fate.kind == "sleepy":
                await asyncio.sleep(self._setting.dice.uniform(0, self._timeout_seconds / 2))
            self._raise(fate)

    def play_in_thread(self, job_id: str, thing: str) -> None:
        process = CURRENT.get()
        assert process is not None
        fate, time = self._next_fate(process, job_id, thing)
        if self._is_bad(fate, time):
            if fate.kind == "killer":
                process.kill(f"by {thing}")
            process.check_alive()
            self._raise(fate)

    def _next_fate(self, process: Process, job_id: str, thing: str) -> tuple[Fate, int]:
        setting = self._setting
        if thing.startswith(tuple(f"{stage}/" for stage in STAGES)):
            check_marks(process, job_id, thing, cancelled=setting.cancelled, insist=setting.checker.insist)
        fate = setting.shapes[job_id].fates[thing]
        time = self.played[job_id, thing] = self.played.get((job_id, thing), 0) + 1
        setting.history.note(process.name, f"works on {job_id[:6]} {thing}, {fate.kind}, time {time}")
        return fate, time

    def _is_bad(self, fate: Fate, time: int) -> bool:
        is_clear = self._setting.sky.is_clear
        match fate.kind:
            case "fine":
                return False
            case "cursed":
                return True
            case "broken" | "failing":
                return not is_clear
            case _:
                return not is_clear and (fate.times == 0 or time <= fate.times)

    def _raise(self, fate: Fate) -> None:
        if fate.kind in ("broken", "cursed", "sleepy"):
            raise PermanentError(fate.kind)
        raise OSError(fate.kind)
