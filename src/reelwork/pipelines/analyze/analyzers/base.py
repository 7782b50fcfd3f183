"""What an analyzer is. Two kinds: one that looks at a frame alone, and one that compares it with the frame before.

The second kind is cut in three (observe, compare, timeline), because a video is cut into ranges that are analysed apart
and in any order: only what is small crosses the border of a range, and no frame is decoded twice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from reelwork.media import Frame

Observation = npt.NDArray[Any]
Result = TypeVar("Result", bound=BaseModel)
Measure = TypeVar("Measure", bound=BaseModel)


class Analyzer(ABC):
    """Made without arguments, once for each process; what is heavy is loaded at the first frame.

    name       its name in a `pipeline_id`, and the name of its entry point
    result     the pydantic model of what it says about one frame
    models     the weights it needs, by their names in `reelwork.vision.MODELS`
    packages   importable packages it needs beyond those of the `media` extra
    """

    name: ClassVar[str]
    result: ClassVar[type[BaseModel]]
    models: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()


class FrameAnalyzer(Analyzer, Generic[Result]):
    """Says something about one frame alone."""

    @abstractmethod
    def analyze(self, frame: Frame) -> Result:
        """The same frame must give the same result in any process."""


class SequenceAnalyzer(Analyzer, Generic[Measure, Result]):
    """Says something about a frame and the processed frames before it.

    measure    the pydantic model of one comparison
    """

    measure: ClassVar[type[BaseModel]]

    @abstractmethod
    def observe(self, frame: Frame) -> Observation:
        """The small thing about a frame that is compared (some 100 kB at most); never changed afterwards."""

    @abstractmethod
    def compare(self, previous: Observation | None, current: Observation) -> Measure:
        """`previous` is None for the first frame of a video, and for a frame whose predecessor was lost."""

    @abstractmethod
    def timeline(self, measures: Iterator[tuple[int, Measure]]) -> Iterator[Result]:
        """One result for each (frame_index, measure), in their order; it may read a bounded number of frames ahead."""


def comparable(previous: Observation | None, current: Observation) -> bool:
    """Whether there is a previous frame, and of the same size: a video may change its size in the middle."""
    return previous is not None and np.shape(previous) == np.shape(current)
