"""The real ledger on DynamoDB, on an emulator in the same process: every simulated process has a ledger of its own."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from botocore.exceptions import ReadTimeoutError

from reelwork.ledger.dynamodb import store as dynamodb_store
from reelwork.ledger.dynamodb.address import Address
from reelwork.ledger.dynamodb.ledger import DynamoLedger
from reelwork.ledger.dynamodb.opening import connect
from reelwork.ledger.dynamodb.store import UNKNOWN_TRIES_MAX
from reelwork.ledger.dynamodb.tables import completions_table, create_tables, ledger_table
from tests.simulation.emulator import Answer, Emulator, Serve, refusal
from tests.simulation.mirror import Mirror
from tests.simulation.store import Store

ADDRESS: Final = Address(
    url="dynamodb://simulated",
    prefix="simulated",
    completions_table="simulated-segment-completions",
    region="us-east-1",
)
TRANSACTION: Final = "TransactWriteItems"
UPDATE: Final = "UpdateItem"
FAULTS: Final = {
    TRANSACTION: ("collides", "throttled", "unheard", "silent"),
    UPDATE: ("collides", "throttled", "broken"),
}
SHARE_OF_MEETINGS: Final = 0.5


class DynamoStore(Store):
    """Where SQLite refuses a COMMIT, here a request goes wrong: it collides or is throttled, and is tried again; its
    answer is lost, and it is sent again under its token; or nothing is heard of it until the ledger gives up.

    Between what a commit reads and what it writes another process may ask what it was about to ask, or a commit that
    takes effect late may do so.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pauses = (dynamodb_store.PAUSE_SECONDS_MAX, dynamodb_store.CONFLICT_PAUSE_SECONDS_MIN)
        _pause_at_most(0.0, 0.0)
        self._client = connect(ADDRESS)
        self._emulator = Emulator(self._client, table=ADDRESS.ledger_table)
        create_tables(self._client, [ledger_table(ADDRESS.ledger_table), completions_table(ADDRESS.completions_table)])
        self._clock: Callable[[], float] = lambda: 0.0
        self._dice = Random(0)
        self.ledger = self.open()
        self._mirror = Mirror(self._emulator.written, self.ledger.store.get_many)
        self.eye = self._mirror
        self._emulator.tamper = self._tamper

    def begin(self, clock: Callable[[], float], dice: Random) -> None:
        self.commit_fails = lambda: False
        self._clock, self._dice = clock, dice
        self._emulator.empty()
        self._mirror.empty()
        self._late: list[Callable[[], None]] = []
        self.rivals.clear()
        self._silences = 0
        self._is_heard_next = False
        self.ledger = self.open()

    def open(self) -> DynamoLedger:
        ledger = DynamoLedger(self._client, ADDRESS, clock=self._clock)
        ledger._events._writers.shutdown()
        ledger._events._writers = _NoThreads()  # type: ignore[assignment]
        return ledger

    def late(self, commit: Callable[[], object]) -> Callable[[], None]:
        def arrive() -> None:
            if arrive in self._late:
                self._late.remove(arrive)
                commit()

        self._late.append(arrive)
        return arrive

    @property
    def collisions(self) -> int:
        return self._emulator.collisions

    def close(self) -> None:
        _pause_at_most(*self._pauses)
        self._mirror.close()
        self._client.close()

    def _tamper(self, operation: str, serve: Serve) -> Answer:
        if operation not in FAULTS or self.is_reliable:
            return serve()
        if operation == TRANSACTION and self.may_be_met:
            self.may_be_met = False
            self._meet()
        if self._is_heard_next:
            self._is_heard_next = False
            return serve()
        if self._silences:
            self._silences -= 1
            raise _unheard()
        return self._fail(operation, serve) if self.commit_fails() else serve()

    def _meet(self) -> None:
        """Somebody else is faster, after this one has read and before it writes."""
        others = [*self._late, *(rival.hurry for rival in self.rivals if rival.is_ready)]
        if others and self._dice.random() < SHARE_OF_MEETINGS:
            self._dice.choice(others)()
            self.may_be_met = False

    def _fail(self, operation: str, serve: Serve) -> Answer:
        self.has_failed = True
        match self._dice.choice(FAULTS[operation]):
            case "collides" if operation == TRANSACTION:
                return refusal("TransactionCanceledException", reasons=[{"Code": "TransactionConflict"}])
            case "throttled" if operation == TRANSACTION:
                return refusal("TransactionCanceledException", reasons=[{"Code": "ThrottlingError"}])
            case "collides":
                return refusal("TransactionConflictException")
            case "throttled":
                return refusal("ThrottlingException")
            case "broken":
                return refusal("InternalServerError")
            case "unheard":
                self._is_heard_next = serve()[0].status_code == 200
            case "silent":
                self._silences = UNKNOWN_TRIES_MAX - 1
        raise _unheard()


class _NoThreads:
    """Calls at once, one after another."""

    map = staticmethod(map)

    def shutdown(self) -> None: ...


def _unheard() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="the emulator")


def _pause_at_most(seconds: float, conflict_seconds: float) -> None:
    """How long the ledger sleeps before it tries again decides nothing here, where nobody else moves meanwhile."""
    dynamodb_store.PAUSE_SECONDS_MAX = seconds  # type: ignore[misc]
    dynamodb_store.CONFLICT_PAUSE_SECONDS_MIN = conflict_seconds  # type: ignore[misc]
