"""The ids of traces and spans, as pure functions of jobs and events (W3C Trace Context: 16 and 8 bytes, never zero)."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID

TRACEPARENT: Final = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
SAMPLED: Final = 1


class TraceParent(NamedTuple):
    trace_id: int
    span_id: int
    flags: int


def trace_id_of(job_id: str) -> int:
    """The UUID itself, so that who knows a job knows its trace; a hash of an id that is none."""
    if len(job_id) == 36:
        try:
            return UUID(job_id).int or _digest(job_id, 16)
        except ValueError:
            pass
    return _digest(job_id, 16)


def span_id_of(*names: str) -> int:
    """Of the span that is the only one with these names."""
    return _digest("\n".join(names), 8)


def scrambled(trace_id: int) -> int:
    """Samplers go by the last bits of a trace id, which in a UUID are not all random."""
    return int.from_bytes(blake2b(trace_id.to_bytes(16), digest_size=16).digest())


def traceparent_of(job_id: str, event_id: str, *, is_sampled: bool) -> str:
    """What the header of a message holds: its trace, and the span in which it was published."""
    flags = SAMPLED if is_sampled else 0
    return f"00-{trace_id_of(job_id):032x}-{span_id_of(event_id):016x}-{flags:02x}"


def parsed(traceparent: str) -> TraceParent | None:
    """None for what is no traceparent."""
    found = TRACEPARENT.match(traceparent.strip().lower())
    if found is None or traceparent.startswith("ff"):
        return None
    parent = TraceParent(*(int(part, 16) for part in found.groups()))
    return parent if parent.trace_id and parent.span_id else None


def _digest(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=size).digest()) or 1
