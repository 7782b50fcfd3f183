"""An event on its way, as the ledger hands it to a broker and a broker to a consumer."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """body: the event as flat JSON. With `queue` it goes to that queue only, else to every queue of its topic."""

    event_id: str
    job_id: str
    topic: str
    body: str
    queue: str | None = None
    is_replay: bool = False
