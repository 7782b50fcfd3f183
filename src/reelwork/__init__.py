"""Media jobs that fan out over many workers and complete each stage exactly once."""

from reelwork.events import Event
from reelwork.runtime import Context, Phase, Pipeline, Service, Stage

__all__ = ["Context", "Event", "Phase", "Pipeline", "Service", "Stage"]
