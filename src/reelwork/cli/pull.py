"""Fetching a pinned file while a person watches."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rich.filesize import decimal

from reelwork.cli.output import progress_bar
from reelwork.vision import OnProgress


class Puller(Protocol):
    def __call__(self, name: str, *, on_progress: OnProgress | None = None) -> Path: ...


def pull(name: str, puller: Puller) -> Path:
    """The file that `puller` fetches, or finds. Raises ModelPullFailed."""
    with progress_bar(f"looking for {name}") as report:

        def on_progress(step: str, received_bytes: int) -> None:
            report(f"{name}: {step} ({decimal(received_bytes)})", None)

        return puller(name, on_progress=on_progress)
