"""The models that make two views of a video, by name.

A model is bytes in, bytes out: a segment as an MP4 file, and the same segment converted, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from reelwork.errors import PermanentError
from reelwork.events import Mode

if TYPE_CHECKING:
    from reelwork.vision.opencv import Picture

DepthRange = tuple[float, float]
"""What is farthest and what is nearest in the whole video, in the units of the model."""
FRAME_PACKING: Final[Mapping[Mode, int]] = {"sbs": 3, "sbs-half": 3}
"""Of H.264's frame packing arrangement message (D.2.26): side by side."""


class UnknownModel(PermanentError):
    """No model has this name; the text lists those there are."""


class StereoModel(Protocol):
    """Makes two views of each frame."""

    def depth_range(self, pictures: Iterable[Picture]) -> DepthRange | None:
        """From some pictures of the whole video; None for a model that needs none."""
        ...

    def process_segment(self, data: bytes, *, mode: Mode, depth_range: DepthRange | None = None) -> bytes:
        """The converted segment, with as many frames at the same times. Raises UnreadableMedia."""
        ...


def _stub() -> StereoModel:
    from reelwork.pipelines.stereo.models.stub import Stub

    return Stub()


def _shift() -> StereoModel:
    from reelwork.pipelines.stereo.models.shift import Shift

    return Shift()


def _depth() -> StereoModel:
    from reelwork.pipelines.stereo.models.depth import Depth
    from reelwork.settings import Config
    from reelwork.vision.depth import load_depth_estimator

    return Depth(load_depth_estimator(Config().REELWORK_STEREO_DEPTH))


STUB: Final = "stub"
MODELS: Final[Mapping[str, Callable[[], StereoModel]]] = {STUB: _stub, "shift": _shift, "depth": _depth}


def converts(name: str) -> bool:
    """False for the model that gives back what it got. Loads none."""
    return name != STUB


def check_model(name: str) -> None:
    """Raises UnknownModel naming the known ones."""
    if name not in MODELS:
        raise UnknownModel(f"no stereo model is called {name!r}; there are: {', '.join(MODELS)}")


def load_model(name: str) -> StereoModel:
    """Raises UnknownModel, or ModelMissing where its weights are not on this machine."""
    check_model(name)
    return MODELS[name]()
