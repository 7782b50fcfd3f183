"""Rules of the product, each broken on purpose: the simulation is worth what it finds of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Patch:
    """owner.name becomes value."""

    owner: Any
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Mutation:
    """what: the rule that is broken, in words."""

    what: str
    patches: tuple[Patch, ...]

    @contextmanager
    def apply(self) -> Iterator[None]:
        before = [(patch, patch.owner.__dict__[patch.name]) for patch in self.patches]
        for patch in self.patches:
            setattr(patch.owner, patch.name, patch.value)
        try:
            yield
        finally:
            for patch, value in before:
                setattr(patch.owner, patch.name, value)


MUTATIONS: dict[str, Mutation] = {}
