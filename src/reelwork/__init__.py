"""Media jobs that fan out over many workers and complete each stage exactly once.

What a pipeline author imports is loaded when it is first asked for, so that `reelwork --help` does not wait for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reelwork.events import Event
    from reelwork.runtime import Context, Phase, Pipeline, Service, Stage

__all__ = ["Context", "Event", "Phase", "Pipeline", "Service", "Stage"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("reelwork.events" if name == "Event" else "reelwork.runtime"), name)
