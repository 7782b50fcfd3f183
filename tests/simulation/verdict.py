"""What must be true when a run is over: every job ended as it should, every asset accounted for, every effect once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from tests.simulation.history import Violation
from tests.simulation.pipeline import COMPLETED
from tests.simulation.scenario import STAGES, JobShape
from tests.simulation.setting import Setting

DEATHS_MAX = 4
LIFE = ("plan", "more", "finish")


def check_end(setting: Setting, played: Mapping[tuple[str, str], int]) -> None:
    """Raises Violation. played: how often each thing was worked on, by (job id, thing)."""
    for job_id, shape in setting.shapes.items():
        _Ending(setting, played, job_id, shape).check()


class _Ending:
    """How one job ended."""

    def __init__(self, setting: Setting, played: Mapping[tuple[str, str], int], job_id: str, shape: JobShape) -> None:
        self._setting = setting
        self._played = played
        self._ask = setting.store.eye.execute
        self._job_id = job_id
        self._shape = shape
        (self._status, self._error) = self._ask(
            "SELECT status, error_message FROM jobs WHERE job_id = ?", (job_id,)
        ).fetchone()
        rows = self._ask("SELECT topic, body FROM outbox WHERE job_id = ? AND queue IS NULL", (job_id,)).fetchall()
        self._topics = Counter(topic for topic, _ in rows)
        self._effects = Counter(json.loads(body)["of"] for topic, body in rows if topic == "simulated.effect")

    def check(self) -> None:
        self._check_status()
        self._check_tidings()
        twice = [of for of, times in self._effects.items() if times > 1]
        self._insist(not twice, f"{twice} took effect more than once")
        for stage in STAGES:
            self._check_stage(stage)
        if self._setting.is_steady:
            self._check_killers()

    def _check_status(self) -> None:
        shape, policies = self._shape, self._setting.scenario.policies
        needed = [thing for thing in shape.fates if thing in LIFE]
        whole = tuple(f"{stage}/" for stage in STAGES if not policies[stage].allow_partial)
        needed += [thing for thing in shape.fates if thing.startswith(whole)]
        cursed = [thing for thing in needed if shape.fates[thing].kind == "cursed"]
        right = "cancelled" if self._job_id in self._setting.cancelled else "failed" if cursed else "completed"
        if cursed and self._status == "completed" and all(map(self._may_do_without, cursed)):
            right = "completed"
        self._insist(self._status == right, f"it is {self._status} ({self._error}) and should be {right}")
        if right == "failed":
            stages = {f"stage {thing[0]} needs" for thing in cursed if thing not in LIFE}
            is_named = "cursed" in str(self._error) or any(stage in str(self._error) for stage in stages)
            self._insist(is_named, f"it failed, but not for {cursed}: {self._error}")
        if right == "completed":
            self._insist(not self._error, f"it is completed and still has the error {self._error}")
            self._insist(all(self._effects[thing] == 1 for thing in LIFE), f"not all took effect: {self._effects}")

    def _may_do_without(self, thing: str) -> bool:
        """Of two totals the lower one counts when it comes first and is reached before the other comes, which is a
        conflict then. A total that shrinks is one from the beginning.
        """
        if thing in LIFE or self._shape.stages[thing[0]].announcement not in ("grown", "shrunk"):
            return False
        (completion,) = self._ask(
            "SELECT completion FROM stages WHERE job_id = ? AND stage = ?", (self._job_id, thing[0])
        ).fetchone()
        fired = json.loads(completion)
        return fired["total_assets"] == fired["processed_assets"] == self._shape.stages[thing[0]].total - 1

    def _check_tidings(self) -> None:
        """Each end of the job was told once."""
        told = {name: self._topics[f"job.{name}"] for name in ("completed", "failed", "cancelled")}
        ended = {
            "completed": int(self._status == "completed"),
            "failed": self._setting.checker.failures.get(self._job_id, 0),
            "cancelled": int(self._status == "cancelled"),
        }
        self._insist(told == ended, f"told {told}, happened {ended}")

    def _check_stage(self, stage: str) -> None:
        rows = self._ask(
            "SELECT asset_id, state, error FROM assets WHERE job_id = ? AND stage = ?", (self._job_id, stage)
        ).fetchall()
        states = {asset_id: state for asset_id, state, _ in rows}
        self._check_blame(stage, {asset_id: error or "" for asset_id, state, error in rows if state == "failed"})
        completions = self._topics[COMPLETED[stage].topic]
        self._insist(completions <= 1, f"stage {stage} has {completions} completions")
        for asset_id, state in states.items():
            effects = self._effects[f"{stage}/{asset_id}"]
            right = int(state == "done")
            if self._status == "cancelled":
                self._insist(effects <= right, f"{stage}/{asset_id} is {state} with {effects} effects")
            else:
                self._insist(effects == right, f"{stage}/{asset_id} is {state} with {effects} effects")
        if self._status == "cancelled":
            return
        fan_out = "plan" if stage == "a" else "more"
        shape = self._shape.stages[stage]
        for asset_id in (*shape.names, *shape.missing) if self._effects[fan_out] else ():
            is_cursed = self._shape.fates[f"{stage}/{asset_id}"].kind == "cursed"
            right_state = "failed" if is_cursed else "done"
            self._insist(states.get(asset_id) == right_state, f"{stage}/{asset_id} is {states.get(asset_id)}")
            if is_cursed:
                self._insist(self._is_among_letters(stage, asset_id), f"{stage}/{asset_id} failed with no dead letter")
        if self._status == "completed":
            self._insist(completions == 1, f"stage {stage} has {completions} completions")
        self._insist(self._effects[f"heard/{stage}"] == completions, f"completion of {stage} was not heard once")

    def _check_blame(self, stage: str, errors: dict[str, str]) -> None:
        """Nothing that dies with its neighbour is taken for the killer."""
        for asset_id, error in errors.items():
            kind = self._shape.fates[f"{stage}/{asset_id}"].kind
            if "died" in error and self._setting.is_steady:
                self._insist(kind == "killer", f"{stage}/{asset_id} is {kind}, and failed: {error}")

    def _check_killers(self) -> None:
        """Once before it is under suspicion, three times under suspicion: then it is left alone, until its replay.

        Those that would kill a set number of times are left out: copies of a message may be worked on side by side, and
        those that succeed are no deaths.
        """
        (letters,) = self._ask("SELECT count(*) FROM dead_letters WHERE job_id = ?", (self._job_id,)).fetchone()
        for thing, fate in self._shape.fates.items():
            if fate.kind == "killer" and not fate.times:
                deaths = self._played.get((self._job_id, thing), 0)
                self._insist(deaths <= DEATHS_MAX * (1 + letters), f"{thing} killed {deaths} times")

    def _is_among_letters(self, stage: str, asset_id: str) -> bool:
        bodies = self._ask("SELECT body FROM dead_letters WHERE job_id = ? AND stage = ?", (self._job_id, stage))
        return any(asset_id in json.loads(body)["names"] for (body,) in bodies)

    def _insist(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Violation(f"in the end of job {self._job_id[:6]}: {otherwise}")
