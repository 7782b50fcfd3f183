"""What is asked of the ledger: a `Work` is everything that one step changes, recorded all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, Protocol

from reelwork.errors import InvalidWork, JobNotFound
from reelwork.ledger.records import AssetState, Completion, JobStatus
from reelwork.ledger.rules import CompletionPolicy
from reelwork.message import Message

RESULT_BYTES_MAX = 4096
ASSET_ID_CHARACTERS_MAX = 256
ASSETS_PER_WORK_MAX = 100_000
ERROR_CHARACTERS_MAX = 2_000
COUNT_MAX = 10**12  # a stage of millions of assets of this weight still fits into 64 bits


PayloadOf = Callable[[Completion], Mapping[str, Any]]


class Publishable(Protocol):
    """An event as the ledger needs it: `reelwork.events.Event` is one."""

    @property
    def topic(self) -> str: ...
    @property
    def job_id(self) -> str: ...
    @property
    def identity(self) -> object: ...
    def body(self) -> str: ...


def outgoing(event: Publishable | Message) -> Message:
    """An event as it is stored and sent. Writing it out takes time, for which no lock should be held."""
    if isinstance(event, Message):
        return event
    return Message(str(event.identity), event.job_id, event.topic, event.body())


class AssetOutcome(NamedTuple):
    """What became of one asset. Its events go out only if this very work makes it done."""

    asset_id: str
    state: AssetState = AssetState.DONE
    weight: int = 1
    result: Mapping[str, Any] | None = None
    error: str | None = None
    events: Sequence[Publishable | Message] = ()


class OutcomeColumns(NamedTuple):
    """Many outcomes by column: what must hold for all of them is asked of a whole column, not of one after another."""

    asset_ids: tuple[str, ...] = ()
    states: tuple[AssetState, ...] = ()
    weights: tuple[int, ...] = ()
    results: tuple[Mapping[str, Any] | None, ...] = ()
    errors: tuple[str | None, ...] = ()
    events: tuple[Sequence[Publishable | Message], ...] = ()

    @classmethod
    def of(cls, outcomes: Sequence[AssetOutcome]) -> OutcomeColumns:
        return cls(*zip(*outcomes, strict=True))

    @property
    def are_plain(self) -> bool:
        """Nothing is told of any asset but that it is done."""
        count = len(self.asset_ids)
        return (
            self.states.count(AssetState.DONE) == self.weights.count(1) == count
            and {*map(type, self.states), *map(type, self.weights)} <= {AssetState, int}
            and self.results.count(None) == count
            and self.errors.count(None) == count
            and not any(self.events)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageUpdate:
    """News of one stage.

    payload_of: the body of its completion; None = the completion payload. expected: an announcement. started: ids about
    to be tried again, each tried once more. expire: the watermark may complete it. postpone: it is being worked on, so
    its watermark moves, `postpone_max_ms` after its birth at most.
    """

    job_id: str
    stage: str
    topic: str
    policy: CompletionPolicy
    payload_of: PayloadOf | None = None
    expected: int | None = None
    outcomes: Sequence[AssetOutcome] = ()
    started: Sequence[str] = ()
    expire: bool = False
    postpone: bool = False
    postpone_max_ms: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.job_id, self.stage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """if_absent: a job that has this id already stays as it is, instead of having the work refused."""

    job_id: str
    pipeline: str
    input_path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    if_absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMove:
    """A compare-and-set of a job: refused, with the whole work, unless the job is in one of `allowed` (and in
    `phase_was`).

    Without `to` the status stays (a change of phase). `lenient` drops only the move where it is refused.
    """

    job_id: str
    allowed: frozenset[JobStatus]
    to: JobStatus | None = None
    phase: str | None = None
    phase_was: str | None = None
    output_path: str | None = None
    error_message: str | None = None
    lenient: bool = False


class Inbox(NamedTuple):
    """`queue` has consumed the event; a second work with the same pair is dropped whole, but for its
    acknowledgement.
    """

    queue: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeadLetter:
    """stage: the one whose assets the message carried; None for a message whose failure fails its job."""

    job_id: str
    queue: str
    topic: str
    event_id: str
    body: str
    error: str
    attempts: int
    stage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One step, all or nothing. `receipts` acknowledge deliveries of a broker that lives in the ledger's database.

    inbox: what this work consumes; a work that consumes it once more is dropped whole. consumed: what it consumes
    besides, where doing so twice does no harm, as with assets that are known by their ids. unless_consumed: what it
    gives up; where a copy has been consumed meanwhile, the work is dropped whole, but for its acknowledgement.
    A work with dead letters is dropped whole when one of its receipts no longer stands: whoever has the message now
    decides what becomes of it.
    at_ms: when it happened, epoch ms; default is the ledger's clock at the commit.
    """

    new_job: NewJob | None = None
    moves: Sequence[JobMove] = ()
    stages: Sequence[StageUpdate] = ()
    events: Sequence[Publishable | Message] = ()
    inbox: Inbox | None = None
    consumed: Sequence[Inbox] = ()
    unless_consumed: Inbox | None = None
    dead_letters: Sequence[NewDeadLetter] = ()
    replay: int | None = None
    receipts: Sequence[object] = ()
    at_ms: int | None = None

    def validate(self) -> None:
        """Raises InvalidWork for what the ledger must refuse, before the work joins a group; JobNotFound for a move of
        what cannot be a job.
        """
        for update in self.stages:
            _validate_stage(update)
        if self.new_job is not None:
            _validate_new_job(self.new_job)
        _validate_texts("an inbox row", [*(self.inbox or ()), *chain.from_iterable(self.consumed)])
        for move in self.moves:
            if not is_text(move.job_id):
                raise JobNotFound(f"no job has the id {move.job_id!r:.80}")
        for letter in self.dead_letters:
            if not letter.error:
                raise InvalidWork("a dead letter needs the error that made it one")


def texts_among(values: Sequence[str]) -> Sequence[str]:
    """Those of them that a store can hold: what it cannot hold is not in it."""
    return values if is_text("".join(values)) else [value for value in values if is_text(value)]


def is_text(value: object) -> bool:
    """Whether every store can hold it: PostgreSQL takes no NUL, and no store what UTF-8 cannot say."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def storable_text(text: str) -> str:
    """As much of it as every store takes: what comes from outside (file names, broken messages) may hold any bytes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "?")


def error_text(error: str) -> str:
    """An error, shortened, as every store takes it."""
    return storable_text(error[:ERROR_CHARACTERS_MAX])


def encode_result(result: Mapping[str, Any] | None) -> str | None:
    return None if result is None else json.dumps(result, separators=(",", ":"), allow_nan=False)


def _validate_stage(update: StageUpdate) -> None:
    name = f"stage {update.stage!r:.300} of job {update.job_id!r:.300}"
    if not update.job_id or not update.stage:
        raise InvalidWork("a stage update needs a job id and a stage name")
    if update.expected is not None:
        _validate_count(f"{name}: the number of announced assets", update.expected)
    told = len(update.outcomes) + len(update.started)
    if told > ASSETS_PER_WORK_MAX:
        raise InvalidWork(f"{name}: {told} assets in one work; send at most {ASSETS_PER_WORK_MAX}")
    columns = OutcomeColumns.of(update.outcomes)
    _validate_ids(name, [update.job_id, update.stage, *update.started, *columns.asset_ids])
    if not columns.are_plain:
        for outcome in update.outcomes:
            _validate_outcome(name, outcome)


def validate_outcome(stage: str, outcome: AssetOutcome) -> None:
    """Raises InvalidWork for an outcome that would have its neighbours in a work refused."""
    name = f"stage {stage!r:.300}"
    _validate_ids(name, (outcome.asset_id,))
    _validate_outcome(name, outcome)


def _validate_outcome(name: str, outcome: AssetOutcome) -> None:
    if type(outcome.weight) is not int or not 0 <= outcome.weight <= COUNT_MAX:
        _validate_count(f"{name}: the weight of asset {outcome.asset_id!r}", outcome.weight)
    if outcome.state is not AssetState.DONE and outcome.state is not AssetState.FAILED:
        raise InvalidWork(f"{name}: the outcome of asset {outcome.asset_id!r} must be AssetState.DONE or FAILED")
    if outcome.result is None:
        return
    try:
        size = len(encode_result(outcome.result) or "")
    except (TypeError, ValueError) as error:
        raise InvalidWork(f"{name}: the result of asset {outcome.asset_id!r} is not JSON: {error}") from error
    if size > RESULT_BYTES_MAX:
        raise InvalidWork(
            f"{name}: the result of asset {outcome.asset_id!r} has {size} bytes, {RESULT_BYTES_MAX} at most; "
            "put it into the object store and record its key"
        )


def _validate_new_job(job: NewJob) -> None:
    key = [] if job.idempotency_key is None else [job.idempotency_key]
    _validate_texts("a new job", [job.job_id, job.pipeline, *key])
    if not is_text(job.input_path):
        raise InvalidWork(f"the input path of job {job.job_id} must be text that UTF-8 can hold, without NUL")
    try:
        json.dumps(dict(job.parameters), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidWork(f"the parameters of job {job.job_id} are not JSON: {error}") from error


def _validate_texts(what: str, texts: Sequence[str]) -> None:
    for text in texts:
        if not is_text(text) or not 1 <= len(text) <= ASSET_ID_CHARACTERS_MAX:
            limits = f"1 to {ASSET_ID_CHARACTERS_MAX} characters that UTF-8 can hold, none of them NUL"
            raise InvalidWork(f"{what} needs text of {limits}, where it has {text!r:.80}")


def _validate_count(what: str, count: object) -> None:
    """A count is an int: a float may be no number at all, or not the one that was meant."""
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= COUNT_MAX:
        shown = repr(count) if not isinstance(count, int) or abs(count) <= COUNT_MAX else "far out of it"
        raise InvalidWork(f"{what} must be a whole number, zero or more and at most {COUNT_MAX}; it is {shown:.80}")


def _validate_ids(name: str, ids: Sequence[str]) -> None:
    try:
        together, lengths = "".join(ids), set(map(len, ids))
    except TypeError:  # not all of them are text
        together, lengths = "", {0}
    if not all(1 <= length <= ASSET_ID_CHARACTERS_MAX for length in lengths):
        raise InvalidWork(f"{name}: an asset id must be text of 1 to {ASSET_ID_CHARACTERS_MAX} characters")
    if "\0" in together:  # SQLite's JSON ends a text there, PostgreSQL refuses it: two ids would become one
        raise InvalidWork(f"{name}: an id must not contain a NUL character")
    try:
        together.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidWork(f"{name}: an id must be text that UTF-8 can hold") from None
