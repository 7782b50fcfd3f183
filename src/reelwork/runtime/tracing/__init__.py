"""One trace for each job, from submit to completion, over any number of processes and any broker.

Nothing is carried from one process to the next: the id of a trace is the job's, and the span in which an event was
published has its id from the event. So whoever has a message knows its parent, and the trace goes through the outbox, a
lost message and a restart.

All of this does nothing unless it is switched on by the standard variables (docs/observability.md), and never raises.
"""

from reelwork.runtime.tracing.spans import caused, client, handled, moved, submitted, swept
from reelwork.runtime.tracing.switch import is_on, start, stop, traceparent

__all__ = [
    "caused",
    "client",
    "handled",
    "is_on",
    "moved",
    "start",
    "stop",
    "submitted",
    "swept",
    "traceparent",
]
