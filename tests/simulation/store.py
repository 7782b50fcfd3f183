"""What a run stands on: a real ledger, emptied for every run, and an eye on what lies in its tables."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from reelwork.ledger.base import Ledger


class Eye(Protocol):
    """Answers SQL about the tables of a ledger, as they are now."""

    def execute(self, query: str, parameters: Any = ..., /) -> sqlite3.Cursor: ...


class Rival(Protocol):
    """Another process, which may have something to ask of the ledger."""

    @property
    def is_ready(self) -> bool: ...
    def hurry(self) -> None:
        """Asks it now."""


class Store(ABC):
    """ledger: in the hands of the operator. commit_fails: asked before every commit, whether the store refuses it.
    has_failed: it did, since that was last looked at. may_be_met: the next transaction may meet one of somebody else.
    collisions: how many have found that somebody else had written what they had read, in this run. rivals: who may
    commit meanwhile.
    """

    ledger: Ledger
    eye: Eye
    collisions = 0

    def __init__(self) -> None:
        self.commit_fails: Callable[[], bool] = lambda: False
        self.is_reliable = False
        self.has_failed = False
        self.may_be_met = False
        self.rivals: list[Rival] = []

    @abstractmethod
    def begin(self, clock: Callable[[], float], dice: Random) -> None:
        """An empty ledger for the next run. dice: decide what goes wrong."""

    @abstractmethod
    def open(self) -> Ledger:
        """The ledger as a process has it."""

    @abstractmethod
    def late(self, commit: Callable[[], object]) -> Callable[[], object]:
        """What to call when a commit that is on its way arrives; it may have done so before."""

    @abstractmethod
    def close(self) -> None: ...
