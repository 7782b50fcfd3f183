"""The operator of a run: submits and cancels jobs, meddles with processes and messages, and replays dead letters.

When the sky has cleared up he mends what was broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from reelwork.errors import JobTransitionRefused, ReelworkError
from reelwork.ledger import BaseJobProgressManager, Work
from reelwork.runtime import Catalogue
from reelwork.runtime.jobs import Jobs
from tests.simulation import pipeline
from tests.simulation.history import Violation
from tests.simulation.machines import Machines
from tests.simulation.scenario import CHAOS_SECONDS, STAGES, JobShape
from tests.simulation.setting import Setting

LOOK_SECONDS = 7.0
REPLAYS_MAX = 3
LETTERS = """SELECT dead_letter_id, job_id, queue, event_id FROM dead_letters WHERE replayed_at IS NULL
ORDER BY dead_letter_id DESC"""


class OperatorLedger:
    """The ledger in the hands of the operator: his calls meet no faults, and are checked like everybody's."""

    def __init__(self, setting: Setting) -> None:
        self._store = setting.store
        self._checker = setting.checker

    def commit(self, work: Work) -> None:
        self._store.is_reliable = True
        results = self._store.ledger.commit_all([work])
        self._store.is_reliable = False
        self._checker.after_commit("operator", [work], results, looks={})
        if isinstance(results[0], Exception):
            raise results[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store.ledger, name)


class Operator:
    def __init__(
        self,
        setting: Setting,
        catalogue: Catalogue,
        stages: BaseJobProgressManager,
        ledger: OperatorLedger,
        machines: Machines,
    ) -> None:
        self._setting = setting
        self._ledger = ledger
        self._machines = machines
        self._jobs = Jobs(ledger, catalogue, stages=stages)  # type: ignore[arg-type]
        self._replays: dict[tuple[str, str], int] = {}
        self._unannounced: set[tuple[str, str]] = set()
        self._kept_back: set[tuple[str, str]] = set()

    def take_up_work(self) -> None:
        """Everything he will do while there is chaos, at its time."""
        for job in self._setting.scenario.jobs:
            self._later(job.submitted_at, self._submit, job)
        for at, what in self._setting.scenario.interventions:
            self._later(at, self._intervene, what)

    def mend(self) -> None:
        """What sources have kept back is sent, and every dead letter is replayed."""
        self._send_what_is_missing()
        self._replay(most=1_000)

    def left_over(self) -> Iterator[str]:
        """What he still has to do."""
        yield from (f"dead letter {dead_letter_id} waits for its replay" for dead_letter_id, *_ in self._replayable())
        unannounced = [key for key in sorted(self._unannounced) if self._has_begun(*key)]
        yield from (f"{stage} of {job_id[:6]} is to be announced" for job_id, stage in unannounced)
        yield from (f"{job_id[:6]} lacks assets of {stage}" for job_id, stage in self._missing())

    def _later(self, at: float, action: Callable[..., None], *arguments: Any) -> None:
        self._setting.loop.call_at(at, self._act, action, *arguments)

    def _act(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Violation:
            return
        except Exception as error:
            self._setting.loop.fail(Violation(f"the operator met {type(error).__name__}: {error}"))

    # Jobs

    def _submit(self, shape: JobShape) -> None:
        now, dice = self._setting.loop.time(), self._setting.dice
        job_id = self._setting.new_id()
        self._setting.shapes[str(job_id)] = shape
        self._jobs.create(pipeline.NAME, job_id=job_id, input_path="input", parameters={})
        if shape.cancelled_at is not None and shape.cancelled_at > now:
            self._later(shape.cancelled_at, self._cancel, str(job_id))
        for stage, stage_shape in shape.stages.items():
            if stage_shape.missing:
                self._kept_back.add((str(job_id), stage))
            if stage_shape.announcement == "late":
                self._unannounced.add((str(job_id), stage))
                self._later(now + dice.uniform(0, CHAOS_SECONDS), self._announce_late, str(job_id), stage)

    def _cancel(self, job_id: str) -> None:
        try:
            self._jobs.cancel(job_id)
        except JobTransitionRefused:
            return
        self._setting.cancelled.add(job_id)

    def _announce_late(self, job_id: str, stage: str) -> None:
        """After the assets of the stage were sent."""
        if self._has_begun(job_id, stage):
            self._unannounced.discard((job_id, stage))
            self._announce(job_id, stage)
        else:
            self._later(self._setting.loop.time() + LOOK_SECONDS, self._announce_late, job_id, stage)

    def _announce(self, job_id: str, stage: str) -> None:
        total = self._setting.shapes[job_id].stages[stage].total
        self._ledger.commit(Work(events=[pipeline.batch(job_id, stage, total, self._setting.new_id)]))

    def _has_begun(self, job_id: str, stage: str) -> bool:
        return (job_id, "plan" if stage == "a" else "more") in self._fanned_out()

    def _fanned_out(self) -> set[tuple[str, str]]:
        rows = self._setting.store.eye.execute("SELECT job_id, body FROM outbox WHERE topic = 'simulated.effect'")
        return {(job_id, json.loads(body)["of"]) for job_id, body in rows}

    # Meddling

    def _intervene(self, what: str) -> None:
        setting, living = self._setting, self._machines.living
        setting.history.note("operator", what)
        if what == "forget":
            for message in setting.broker.lose(setting.dice.randint(1, 3)):
                setting.history.note("broker", f"FORGETS {message.topic} {message.event_id[:6]}")
        elif what == "replay":
            self._replay(most=1)
        elif what == "announce":
            begun = sorted(job_id for job_id, of in self._fanned_out() if of == "more")
            if begun:
                self._announce(setting.dice.choice(begun), setting.dice.choice(STAGES))
        elif living:
            process = setting.dice.choice([*living.values()])
            if what == "kill":
                process.kill("by the operator")
            elif what == "stop":
                process.stop()
                setting.checker.tell_news()
            else:
                process.stall(setting.dice.uniform(1, 40))

    # Mending

    def _replayable(self) -> list[tuple[int, str, str]]:
        """The id, the queue and the event id of each dead letter that may be replayed."""
        return [
            (dead_letter_id, queue, event_id)
            for dead_letter_id, job_id, queue, event_id in self._setting.store.eye.execute(LETTERS)
            if job_id not in self._setting.cancelled and self._replays.get((queue, event_id), 0) < REPLAYS_MAX
        ]

    def _replay(self, *, most: int) -> None:
        setting, letters = self._setting, self._replayable()
        chosen = letters if len(letters) <= most else setting.dice.sample(letters, most)
        for dead_letter_id, queue, event_id in chosen:
            if setting.sky.is_clear:
                self._replays[queue, event_id] = self._replays.get((queue, event_id), 0) + 1
            try:
                self._ledger.commit(Work(replay=dead_letter_id))
            except ReelworkError as refusal:
                setting.history.note("operator", f"replay refused: {refusal}")

    def _missing(self) -> list[tuple[str, str]]:
        """The stages whose sources have kept assets back, of jobs that have come so far."""
        return [
            (job_id, stage)
            for job_id, stage in sorted(self._kept_back)
            if job_id not in self._setting.cancelled and self._has_begun(job_id, stage)
        ]

    def _send_what_is_missing(self) -> None:
        for job_id, stage in self._missing():
            names = self._setting.shapes[job_id].stages[stage].missing
            self._kept_back.discard((job_id, stage))
            events = pipeline.ready_events(job_id, stage, names, len(names), self._setting.new_id)
            self._ledger.commit(Work(events=events))
