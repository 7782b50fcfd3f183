"""Rules of the product, each broken on purpose: the simulation is worth what it finds of them.

A mutation replaces some words in the source of a function. When the product no longer has these words the mutation says
so, and is to be written anew.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from reelwork.broker.memory import MemoryBroker, MemoryDelivery
from reelwork.broker.sql import SqlBroker, SqlCourier
from reelwork.ledger import commit, stage
from reelwork.ledger.base import Ledger
from reelwork.ledger.sql import SqlLedger
from reelwork.ledger.transaction import SqlTransaction
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.handling import Handling
from reelwork.runtime.leadership import Leadership
from reelwork.runtime.recording import Recording
from reelwork.runtime.relay import Relay
from reelwork.runtime.stage_group import StageGroup
from reelwork.runtime.stage_run import StageRun
from reelwork.runtime.sweeper import Sweeper


@dataclass(frozen=True, slots=True)
class Edit:
    """In the source of `owner.name`, `old` becomes `new`."""

    owner: Any
    name: str
    old: str
    new: str

    def function(self) -> Any:
        original = self.owner.__dict__[self.name]
        function = original.fget if isinstance(original, property) else original
        source = textwrap.dedent(inspect.getsource(function))
        if self.old not in source:
            raise LookupError(f"{self.owner.__name__}.{self.name} no longer says {self.old!r}; write the mutation anew")
        found: dict[str, Any] = {}
        code = compile("from __future__ import annotations\n" + source.replace(self.old, self.new), self.name, "exec")
        exec(code, function.__globals__, found)
        return found[self.name]


@dataclass(frozen=True, slots=True)
class Mutation:
    """what: the rule that is broken, in words. harmless: why nothing comes of it, and which mutation takes the second
    line of defence away too. suite: it is not in what the simulation runs; these tests of the brokers' conformance are
    to catch it.
    """

    what: str
    edits: tuple[Edit, ...]
    harmless: str = ""
    suite: str | None = None

    @contextmanager
    def apply(self) -> Iterator[None]:
        before = [(edit, edit.owner.__dict__[edit.name]) for edit in self.edits]
        for edit in self.edits:
            setattr(edit.owner, edit.name, edit.function())
        try:
            yield
        finally:
            for edit, original in before:
                setattr(edit.owner, edit.name, original)


UNGUARDED = 'self._statement("complete_stage").split("WHERE")[0] + "WHERE job_id = ? AND stage = ?"'

LEASELESS = """.replace("AND lease = ?", "AND ? > ''").replace("AND messages.lease = held.lease", "")"""

MUTATIONS: dict[str, Mutation] = {
    "no-guard": Mutation(
        "a stage that has completed may complete again (no guard in memory, none in the UPDATE)",
        (
            Edit(stage.Stage, "is_open", "self.completed_at is None and ", ""),
            Edit(SqlTransaction, "complete_stages", 'self._statement("complete_stage")', UNGUARDED),
        ),
    ),
    "no-guard-in-memory": Mutation(
        "a stage that has completed may complete again, but for the guard in the UPDATE",
        (Edit(stage.Stage, "is_open", "self.completed_at is None and ", ""),),
    ),
    "no-guard-in-update": Mutation(
        "the UPDATE that completes a stage has no guard",
        (Edit(SqlTransaction, "complete_stages", 'self._statement("complete_stage")', UNGUARDED),),
        harmless="the stage was read under the lock that the UPDATE still holds; see `no-guard`",
    ),
    "equal-for-at-least": Mutation(
        "`==` for `>=` in the rules",
        (Edit(stage, "due_rule", ">= expected", "== expected"),),
    ),
    "no-identity": Mutation(
        "outcomes are counted, whoever they are of",
        (Edit(stage, "_record", "before = known.get(outcome.asset_id)", "before = None"),),
    ),
    "partial-allowed": Mutation(
        "a stage that needs all its assets completes without them",
        (Edit(stage, "_evaluate", "if fires(rule, policy):", "if rule is not None:"),),
    ),
    "no-inbox": Mutation(
        "nobody looks whether a message was consumed before",
        (
            Edit(Handling, "_look_up", "delivery.queue in consumers.get(message.event_id, ())", "False"),
            Edit(commit, "_apply", "work.inbox in group.consumed or work.unless", "work.unless"),
        ),
    ),
    "no-look-into-inbox": Mutation(
        "nobody looks whether a message was consumed before it is worked on",
        (Edit(Handling, "_look_up", "delivery.queue in consumers.get(message.event_id, ())", "False"),),
        harmless="it costs work; the commit looks again under its locks; see `no-inbox` and `copy-gives-up`",
    ),
    "mark-before-work": Mutation(
        "a message counts as consumed before it is worked on",
        (
            Edit(
                Handling,
                "_run_handler",
                "await self._call(subscription, delivery, event, context)",
                "await self.recorder.commit(Work(consumed=[inbox_of(delivery)]))\n"
                "    await self._call(subscription, delivery, event, context)",
            ),
        ),
    ),
    "done-before-work": Mutation(
        "an asset is recorded as done before its handler has run",
        (
            Edit(
                StageGroup,
                "_work",
                "await self._prepare()",
                "await self._prepare()\n"
                "        for run in self._waiting:\n"
                "            if run.error is None and run.assets:\n"
                "                from reelwork.ledger import AssetOutcome, Work\n"
                "                early = [AssetOutcome(a.asset_id, weight=a.weight) for a in run.assets]\n"
                "                update = self._handling.stages.outcomes(run.event.job_id, self._stage.name, early)\n"
                "                await self._handling.recorder.commit(Work(stages=[update]))",
            ),
        ),
    ),
    "flag-before-send": Mutation(
        "an event is marked as published, and finished, before the broker has it",
        (
            Edit(
                Relay,
                "publish",
                "await self._broker.publish(messages)",
                "await self._call(self._ledger.mark_finished, [row.sequence for row in rows])\n"
                "        await self._call(lambda: self._ledger.mark_published([row.sequence for row in rows], "
                "look_again_at={row.sequence: 0 for row in rows}))\n"
                "        await self._broker.publish(messages)",
            ),
        ),
    ),
    "every-relay": Mutation(
        "every relay publishes, whoever has the lease",
        (Edit(Relay, "_leads", "await self._leadership.holds()", "True"),),
    ),
    "lease-taken-early": Mutation(
        "a relay takes over from one that is alive",
        (Edit(Leadership, "_is_takeable", ">= LEASE_SECONDS", ">= 0"),),
    ),
    "lease-believed-for-long": Mutation(
        "a relay that was stalled goes on as if the lease were still its own",
        (Edit(Leadership, "holds", "began_at + RENEW_SECONDS", "began_at + 1_000"),),
    ),
    "lease-never-taken-over": Mutation(
        "nobody takes over from a relay that has died",
        (Edit(Leadership, "_is_takeable", ">= LEASE_SECONDS", ">= 10**9"),),
    ),
    "republish-never": Mutation(
        "what a broker has lost is not published again",
        (Edit(Relay, "republish_unconsumed", "if not rows:", "if True:"),),
    ),
    "republish-living-only": Mutation(
        "a lost end of a job is not published again",
        (
            Edit(
                SqlLedger,
                "unfinished",
                "published_before_ms, limit)",
                "published_before_ms, limit) if self.job(row[2]).status in ('pending', 'running')",
            ),
        ),
    ),
    "watermark-blind": Mutation(
        "a watermark fires although assets wait in a queue",
        (Edit(Sweeper, "_is_held_back", "bindings = ", "return False\n    bindings = "),),
    ),
    "watermark-forgets-outbox": Mutation(
        "a watermark fires although assets wait in the outbox, or were lost and come again",
        (
            Edit(
                Sweeper,
                "_is_held_back",
                "return await self._recorder.read(self._ledger.awaits, stage.job_id, bindings)",
                "return False",
            ),
        ),
    ),
    "watermark-early": Mutation(
        "a watermark fires ten seconds early",
        (
            Edit(stage, "_evaluate", "now_ms=now_ms", "now_ms=now_ms + 10_000"),
            Edit(SqlLedger, "due_stages", "self.now_ms(),", "self.now_ms() + 10_000,"),
        ),
    ),
    "no-lease-check": Mutation(
        "a worker whose lease has ended acknowledges, retries and extends as if it stood (memory broker)",
        (
            Edit(MemoryDelivery, "_is_mine", "self.entry.lease == self.lease", "True"),
            Edit(
                MemoryBroker,
                "end",
                "self._queues[queue].remove(entry)",
                "entry in self._queues[queue] and self._queues[queue].remove(entry)",
            ),
        ),
    ),
    "no-lease-check-sql": Mutation(
        "the same, in the statements of the `sql` broker on SQLite and PostgreSQL",
        (
            Edit(SqlBroker, "_settle", "self._statement(name)", f"self._statement(name){LEASELESS}"),
            Edit(
                SqlCourier,
                "acknowledge",
                'statement(connection.dialect, "acknowledge")',
                f'statement(connection.dialect, "acknowledge"){LEASELESS}',
            ),
        ),
        suite="TestLeases and sql",
    ),
    "copy-gives-up": Mutation(
        "a copy that fails dead-letters what another copy has done",
        (Edit(commit, "_apply", "work.unless_consumed in group.consumed", "False"),),
    ),
    "crash-mark-never": Mutation(
        "no mark is set before an asset under suspicion is touched",
        (Edit(StageGroup, "_mark", "await self._recording.mark(run, started)", "pass"),),
    ),
    "suspects-together": Mutation(
        "whole messages are blamed for a death, not the asset that was at work",
        (Edit(StageGroup, "_mark", "[run.assets[-1].asset_id]", "[a.asset_id for a in run.assets]"),),
    ),
    "no-compare-and-set": Mutation(
        "a conductor moves a job from whatever phase it is in",
        (Edit(Conductor, "_move", "phase_was=job.phase", "phase_was=None"),),
    ),
    "no-settling": Mutation(
        "the next phase does not wait for the rest of a partial stage",
        (Edit(Conductor, "_has_settled", "if stage.is_settled:", "if True:"),),
    ),
    "assets-outlive-letter": Mutation(
        "a message is dead-lettered without failing its assets",
        (Edit(StageRun, "give_up", "self.outcomes.append", "(lambda _: None)"),),
    ),
    "cancel-leaves-stages": Mutation(
        "cancelling a job leaves its stages open",
        (
            Edit(commit, "_move", "stage.closed_at = group.now_ms", "pass"),
            Edit(SqlTransaction, "close_stages", "self._connection.execute", "(lambda *_: None)"),
        ),
    ),
    "replay-fires-again": Mutation(
        "a replay opens its stage again",
        (
            Edit(
                commit,
                "_replay",
                "group.replayed.append(letter.dead_letter_id)",
                "group.replayed.append(letter.dead_letter_id)\n"
                '    group.transaction._connection.execute("UPDATE stages SET completed_at = NULL, completion = NULL '
                'WHERE job_id = ?", (letter.job_id,))',
            ),
        ),
    ),
    "error-swallowed": Mutation(
        "a work whose commit failed is told as recorded",
        (Edit(Ledger, "_commit_one_by_one", "ticket.result = group_error", "ticket.result = []"),),
    ),
    "outcomes-dropped": Mutation(
        "a message ends without the outcomes of its assets",
        (Edit(Recording, "_work", "stages=updates, consumed=consumed", "stages=updates[1:], consumed=consumed"),),
    ),
}
