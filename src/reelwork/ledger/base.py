"""The ledger: the one way in (`commit`), group commit, and what can be read. Stores supply the transaction and the
reads.

Group commit: whoever gets the writer's place commits everything that became ready meanwhile, in one transaction. A
group that fails is retried one work at a time, so that only the culprit's caller sees the error.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from reelwork.database import Connection, Listener
from reelwork.errors import StoreUnavailable, StoreUnreachable
from reelwork.ledger.census import Census
from reelwork.ledger.commit import Transaction, apply_group
from reelwork.ledger.records import (
    AnnouncementConflict,
    AssetRecord,
    AssetState,
    Completion,
    DeadLetter,
    Job,
    JobStatus,
    Known,
    Lease,
    OutboxRow,
    QueueDepth,
    StageStatus,
)
from reelwork.ledger.work import Work, outgoing
from reelwork.message import Message

Clock = Callable[[], float]
GROUP_WORKS_MAX: Final = 500
OUTBOX_RING: Final = "outbox"
"""Rings by this name are for the relay."""
PAGE_SIZE: Final = 100
T = TypeVar("T")


class Courier(Protocol):
    """A broker that lives in the ledger's database: publishing and acknowledging ride in the ledger's transaction."""

    def publish(self, connection: Connection, messages: Sequence[Message], now_ms: int) -> None: ...
    def lost(self, connection: Connection, receipts: Sequence[Any]) -> set[object]: ...
    def forward(self, connection: Connection, messages: Sequence[Message], last_sequence: int, now_ms: int) -> None: ...
    def acknowledge(self, connection: Connection, receipts: Sequence[Any]) -> None: ...


class _Ticket:
    __slots__ = ("result", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.result: list[Completion] | Exception | None = None


class Ledger(ABC):
    """The state of record. Thread-safe; many processes may have the same ledger open."""

    def __init__(self, *, clock: Clock = time.time) -> None:
        self.clock = clock
        self._waiting: deque[_Ticket] = deque()
        self._writer = threading.Lock()

    def now_ms(self) -> int:
        return round(self.clock() * 1000)

    def commit(self, work: Work) -> list[Completion]:
        """Records the work, all or nothing, and returns the completions that this very work fired.

        Raises InvalidWork, JobTransitionRefused, JobNotFound or JobExists when the work is refused (nothing of it is
        recorded), StoreUnavailable when the store does not take it.
        """
        (result,) = self.commit_all([work])
        if isinstance(result, Exception):
            raise result
        return result

    def commit_all(self, works: Sequence[Work]) -> list[list[Completion] | Exception]:
        """Commits independent works together with whatever else is ready: one result or error for each."""
        tickets = [_Ticket(work) for work in works]
        for ticket in tickets:
            try:
                ticket.work.validate()
                if ticket.work.events:
                    ticket.work = replace(ticket.work, events=list(map(outgoing, ticket.work.events)))
            except Exception as error:
                ticket.result = error
            else:
                self._waiting.append(ticket)
        while any(ticket.result is None for ticket in tickets):
            with self._writer:
                # Whoever finds his own done already leaves at once: what came in since is worth a group, not a commit.
                if any(ticket.result is None for ticket in tickets):
                    self._commit_waiting()
        return [ticket.result for ticket in tickets if ticket.result is not None]

    def _commit_waiting(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_WORKS_MAX))]
        if not group:
            return
        try:
            for ticket, result in zip(group, self._commit_group([ticket.work for ticket in group]), strict=True):
                ticket.result = result
        except Exception as group_error:
            self._commit_one_by_one(group, group_error)
        except BaseException:
            interrupted = StoreUnavailable("the process was interrupted in the middle of a commit")
            for ticket in group:
                ticket.result = interrupted
            raise

    def _commit_one_by_one(self, group: Sequence[_Ticket], group_error: Exception) -> None:
        if len(group) == 1 or isinstance(group_error, StoreUnreachable):
            for ticket in group:
                ticket.result = group_error
            return
        for ticket in group:
            try:
                (ticket.result,) = self._commit_group([ticket.work])
            except Exception as error:
                ticket.result = error

    def _commit_group(self, works: Sequence[Work]) -> Sequence[list[Completion] | Exception]:
        return self.transact(lambda transaction: apply_group(transaction, works, self.now_ms()))

    @abstractmethod
    def transact(self, change: Callable[[Transaction], T]) -> T:
        """Runs `change` in one write transaction of the store, anew where another one was in its way."""

    @abstractmethod
    def attach(self, courier: Courier) -> None:
        """Lets a broker in the same database publish and acknowledge inside the ledger's transactions."""

    @abstractmethod
    def job(self, job_id: str) -> Job:
        """Raises JobNotFound."""

    @abstractmethod
    def find_jobs(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Those of these jobs that there are, by id."""

    @abstractmethod
    def jobs(
        self,
        *,
        statuses: Sequence[JobStatus] = (),
        pipeline: str | None = None,
        before: str | None = None,
        limit: int = PAGE_SIZE,
    ) -> list[Job]:
        """Newest first; `before` is the job id that the previous page ended with."""

    @abstractmethod
    def running_jobs(self, *, after: str = "", limit: int = PAGE_SIZE) -> list[str]:
        """The ids of running jobs in their order; `after` is the one that the previous page ended with."""

    @abstractmethod
    def job_with_key(self, idempotency_key: str) -> str | None:
        """The id of the job that was created with this idempotency key."""

    @abstractmethod
    def stage_status(self, job_id: str) -> list[StageStatus]:
        """The stages of a job, by birth."""

    @abstractmethod
    def known_assets(self, job_id: str, stage: str, asset_ids: Sequence[str]) -> Mapping[str, Known]:
        """What is recorded of these assets; one never heard of is absent."""

    @abstractmethod
    def assets(
        self,
        job_id: str,
        stage: str,
        *,
        states: Sequence[AssetState] = (),
        include_late: bool = True,
        prefix: str = "",
    ) -> Iterator[AssetRecord]:
        """The assets of a stage in the order of their ids, read in pages; those whose ids begin with `prefix`.

        Without the late ones every merge is the same.
        """

    @abstractmethod
    def conflicts(self, job_id: str) -> list[AnnouncementConflict]: ...

    @abstractmethod
    def dead_letters(
        self,
        job_id: str | None = None,
        *,
        stage: str | None = None,
        queue: str | None = None,
        error: str | None = None,
        replayed: bool | None = None,
        before: int | None = None,
        limit: int = PAGE_SIZE,
    ) -> list[DeadLetter]:
        """Newest first, those that fit all that is given.

        error: a part of its error, taken literally; ASCII letters in either case. before: the number that the previous
        page ended with.
        """

    @abstractmethod
    def dead_letter(self, dead_letter_id: int) -> DeadLetter | None: ...

    @abstractmethod
    def outbox(self, job_id: str) -> list[OutboxRow]:
        """Every event of a job in the order they were recorded."""

    @abstractmethod
    def unpublished(self, limit: int = PAGE_SIZE) -> list[OutboxRow]:
        """Events that no broker has confirmed yet, oldest first."""

    @abstractmethod
    def unfinished(self, *, published_before_ms: int, limit: int = PAGE_SIZE) -> list[OutboxRow]:
        """Published events that are due for a look: perhaps not every queue has consumed them.

        Also of jobs that are over, whose end somebody may yet have to hear of; only a cancelled job waits for nothing.
        """

    @abstractmethod
    def consumers(self, event_ids: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """By event id, the queues that have consumed it (an inbox row or a dead letter) and when last, epoch ms."""

    @abstractmethod
    def awaits(self, job_id: str, bindings: Sequence[tuple[str, str]]) -> bool:
        """Whether a queue has yet to consume an event of the job, wherever that is now; (topic, queue) pairs."""

    @abstractmethod
    def mark_published(self, sequences: Sequence[int], *, look_again_at: Mapping[int, int]) -> None:
        """The broker has confirmed these events; epoch ms at which to look whether they were consumed."""

    @abstractmethod
    def mark_finished(self, sequences: Sequence[int]) -> None:
        """Every queue bound to these events' topics has consumed them."""

    @abstractmethod
    def lease(self, name: str) -> Lease:
        """As it is now; a free one where there never was one of this name."""

    @abstractmethod
    def take_lease(self, name: str, *, owner: str, was: Lease) -> bool:
        """Gives it to `owner`, with one beat more, if it still is as it was. False also where it is not known whether
        it was given: look at it again. A power cut may take it back.
        """

    @abstractmethod
    def listen(self) -> Listener | None:
        """Hears OUTBOX_RING when there may be unpublished events. None: look now and then."""

    @abstractmethod
    def due_stages(self, *, limit: int = PAGE_SIZE) -> list[StageStatus]:
        """Open stages whose watermark has passed, the longest due first.

        Those of failed jobs wait for their job to be brought back, and are due at once then.
        """

    @abstractmethod
    def open_stages(self, *, after: tuple[str, str] | None = None, limit: int = PAGE_SIZE) -> list[StageStatus]:
        """Open stages in the order of (job id, stage), for re-evaluation."""

    @abstractmethod
    def last_recorded_at(self, job_id: str, stage: str) -> int | None:
        """When an asset of the stage was recorded last; it looks at all of them."""

    @abstractmethod
    def queue_depths(self, job_id: str) -> list[QueueDepth]:
        """The queues in this very database that hold something of the job; none with a broker of another engine."""

    @abstractmethod
    def census(self) -> Census:
        """What there is, in numbers."""

    @abstractmethod
    def unswept_jobs(self, *, ended_before_ms: int, limit: int = PAGE_SIZE) -> list[Job]:
        """Jobs that are over, and whose leftover objects nobody has removed yet."""

    @abstractmethod
    def mark_swept(self, job_id: str) -> None: ...

    @abstractmethod
    def prunable_jobs(self, *, ended_before_ms: int) -> Iterator[str]:
        """The ids of jobs that ended before then (epoch ms) and of which all is said, the oldest first."""

    @abstractmethod
    def claim_job(self, job_id: str, *, ended_before_ms: int) -> bool:
        """Makes sure that the job stays over for good. False when it was brought back meanwhile: leave it alone."""

    @abstractmethod
    def remove_rows(self, job_id: str) -> int:
        """Of a job that was claimed. How many of assets, outbox and inbox there were."""

    @abstractmethod
    def ping(self) -> None:
        """Raises StoreUnavailable when the store does not answer."""

    @abstractmethod
    def close(self) -> None: ...
