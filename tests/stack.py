"""Real servers side by side, and how machines reach them: an engine joins by one class with what it needs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from tests.machines import Machine
from tests.proxy import LOOPBACK, Link


class Engine(Protocol):
    """settings: what Reelwork is told of it, with its address on the loopback of the tests. port: where it listens."""

    @property
    def settings(self) -> Mapping[str, str]: ...

    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class Served:
    """An engine that is asked for nothing else."""

    settings: Mapping[str, str]
    port: int


@dataclass(frozen=True, kw_only=True)
class Ways:
    """settings: what a machine is told of all engines. links: its ways to them, in the order of the engines."""

    settings: Mapping[str, str]
    links: Sequence[Link]


def ways(machine: Machine, engines: Sequence[Engine]) -> Ways:
    """Through links that lead this machine, and no other, to each engine."""
    links = [machine.way_to(engine.port) for engine in engines]
    settings = {
        name: _led(value, engine.port, link)
        for engine, link in zip(engines, links, strict=True)
        for name, value in engine.settings.items()
    }
    return Ways(settings=settings, links=links)


def settings_here(engines: Sequence[Engine]) -> dict[str, str]:
    """What a process of the tests itself is told, which no link leads."""
    return {name: value for engine in engines for name, value in engine.settings.items()}


def _led(value: str, port: int, link: Link) -> str:
    """Addresses may stand inside a URL, or encoded in its query."""
    for address, led in [(f"{LOOPBACK}:{port}", f"{link.host}:{link.port}")]:
        value = value.replace(address, led).replace(quote(address, safe=""), quote(led, safe=""))
    return value
