"""Messages that failed for good: found, and sent to their queues again once what broke them is mended.

A replay is recorded with the letter in one transaction, so whoever asks twice sends once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from reelwork.errors import PermanentError, ReelworkError, StoreUnavailable
from reelwork.ledger import DeadLetter, Ledger, Work

NUMBER_MAX: Final = 2**63 - 1
REPLAYS_PER_COMMIT_MAX: Final = 50
"""Workers wait meanwhile: a long transaction would hold them all up."""


class DeadLetterNotFound(ReelworkError):
    """No dead letter has this number."""


class NothingSelected(PermanentError):
    """A replay of many letters must say which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant: those that fit all that is given. error: a part of its error, in either case."""

    job_id: str | None = None
    stage: str | None = None
    queue: str | None = None
    error: str | None = None

    @property
    def is_everything(self) -> bool:
        return all(value is None for value in asdict(self).values())


class Page(NamedTuple):
    """next: the number before which the next page begins; None on the last."""

    letters: Sequence[DeadLetter]
    next: int | None


class Refusal(NamedTuple):
    letter: DeadLetter
    reason: str


class Replays(NamedTuple):
    """What became of one batch. next: as of a page."""

    replayed: int
    refused: Sequence[Refusal]
    next: int | None


class DeadLetters:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def letter(self, number: int) -> DeadLetter:
        """Raises DeadLetterNotFound."""
        letter = self._ledger.dead_letter(number) if 1 <= number <= NUMBER_MAX else None
        if letter is None:
            raise DeadLetterNotFound(f"there is no dead letter {number}; list them to see which there are")
        return letter

    def page(
        self, selection: Selection, *, replayed: bool | None = None, before: int | None = None, limit: int
    ) -> Page:
        """Newest first. Raises JobNotFound for a job that is none."""
        if selection.job_id is not None:
            self._ledger.job(selection.job_id)
        found = self._ledger.dead_letters(**asdict(selection), replayed=replayed, before=before, limit=limit + 1)
        letters = found[:limit]
        return Page(letters, letters[-1].dead_letter_id if len(found) > limit else None)

    def replay(self, number: int) -> None:
        """Raises DeadLetterNotFound, ReelworkError for one that was replayed, JobTransitionRefused for a cancelled
        job's.
        """
        self.letter(number)
        self._ledger.commit(Work(replay=number))

    def replay_selected(
        self, selection: Selection, *, everything: bool = False, before: int | None = None, limit: int
    ) -> Replays:
        """Replays a batch of letters that have not been replayed: the newest `limit` of them, oldest first.

        From batch to batch newest first, so that what fails once more is not replayed for ever. Raises
        NothingSelected for an empty selection unless `everything` is meant, JobNotFound, StoreUnavailable.
        """
        if selection.is_everything and not everything:
            raise NothingSelected("say which dead letters: by job_id, stage, queue or error; or all=true for every one")
        letters, following = self.page(selection, replayed=False, before=before, limit=limit)
        refused: list[Refusal] = []
        oldest_first = letters[::-1]
        for first in range(0, len(oldest_first), REPLAYS_PER_COMMIT_MAX):
            refused += self._replay_all(oldest_first[first : first + REPLAYS_PER_COMMIT_MAX])
        return Replays(len(letters) - len(refused), refused, following)

    def _replay_all(self, letters: Sequence[DeadLetter]) -> list[Refusal]:
        results = self._ledger.commit_all([Work(replay=letter.dead_letter_id) for letter in letters])
        refused = []
        for letter, result in zip(letters, results, strict=True):
            if isinstance(result, StoreUnavailable) or not isinstance(result, list | ReelworkError):
                raise result
            if isinstance(result, ReelworkError):
                refused.append(Refusal(letter, str(result)))
        return refused
