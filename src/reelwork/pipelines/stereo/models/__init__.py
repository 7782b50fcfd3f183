"""The models that make two views of a video, by name.

A model is bytes in, bytes out: a segment as an MP4 file, and the same segment converted, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from reelwork.errors import PermanentError
from reelwork.events import Mode

DepthRange = tuple[float, float]
"""What is nearest and what is farthest in the whole video, in the units of the model."""


class UnknownModel(PermanentError):
    """No model has this name; the text lists those there are."""


class StereoModel(Protocol):
    """converts: False for a model that gives back what it got."""

    @property
    def converts(self) -> bool: ...

    def process_segment(self, data: bytes, *, mode: Mode, depth_range: DepthRange | None = None) -> bytes:
        """The converted segment, with as many frames at the same times. Raises UnreadableMedia."""
        ...


def _stub() -> StereoModel:
    from reelwork.pipelines.stereo.models.stub import Stub

    return Stub()


def _shift() -> StereoModel:
    from reelwork.pipelines.stereo.models.shift import Shift

    return Shift()


MODELS: Final[Mapping[str, Callable[[], StereoModel]]] = {"stub": _stub, "shift": _shift}


def check_model(name: str) -> None:
    """Raises UnknownModel naming the known ones."""
    if name not in MODELS:
        raise UnknownModel(f"no stereo model is called {name!r}; there are: {', '.join(MODELS)}")


def load_model(name: str) -> StereoModel:
    """Raises UnknownModel, or ModelMissing where its weights are not on this machine."""
    check_model(name)
    return MODELS[name]()
