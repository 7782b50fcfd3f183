"""What every endpoint stands on, as one dependency: the back ends, and the places for uploads and event streams."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request

from reelwork.api.slots import Slots
from reelwork.runtime.backends import Backends
from reelwork.runtime.dead_letters import DeadLetters
from reelwork.runtime.jobs import Jobs
from reelwork.runtime.metrics.present import Present
from reelwork.runtime.standing import Standings

UPLOADS_MAX: Final = 16
EVENT_STREAMS_MAX: Final = 100


class State:
    """One application's. event_streams_end: set to let a server stop that has open event streams."""

    def __init__(self, backends: Backends) -> None:
        self.backends = backends
        self.jobs = Jobs(backends.ledger, backends.catalogue, stages=backends.stages)
        self.standings = Standings(backends)
        self.dead_letters = DeadLetters(backends.ledger)
        self.present = Present(backends.ledger, backends.broker, world=backends.world)
        self.uploads = Slots("uploads", slots_max=UPLOADS_MAX)
        self.event_streams = Slots("event streams", slots_max=EVENT_STREAMS_MAX)
        self.event_streams_end = False


def state_of(request: Request) -> State:
    state: State = request.app.state.reelwork
    return state


AppState = Annotated[State, Depends(state_of)]
