"""What a source of products is: a small model of what a job says of it, that can list the products there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from reelwork.errors import PermanentError
from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources.product import BrokenEntry, Entry


class SourceUnusable(PermanentError):
    """A source cannot be read at all; the text says why and what to do."""


class ProductSource(BaseModel, ABC):
    """Its fields are what a job gives; its class is found by an entry point of its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]

    def check(self, access: Access) -> None:
        """Refuses at submit what cannot work later, without asking anyone: a missing credential, a forbidden path."""
        del access

    @abstractmethod
    def entries(self, access: Access) -> Iterator[Entry | BrokenEntry]:
        """The products in an order that stays. What is broken is told, and the rest goes on.

        Lazy: whoever reads may stop. SourceUnusable when there is nothing to read, and the errors of `access`.
        """
