"""The hot path of a job and of a single process: frames of a range in, measures out; ranges in order in, results out.

A range knows nothing of its neighbours. What an analyzer compares across a border is kept by both sides of it, so the
results are the same however a video is split."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import tee
from typing import Any

import numpy as np

from reelwork.errors import ContractViolation
from reelwork.media import Frame, VideoDecoder
from reelwork.pipelines.analyze.analyzers.base import Analyzer, FrameAnalyzer, Observation, SequenceAnalyzer

Measures = dict[str, dict[str, Any]]
"""What each analyzer, by its name, says of one frame; plain JSON."""


@dataclass(frozen=True)
class RangeResults:
    """All that one range gives.

    wanted   the source indices that were processed
    frames   (frame_index, measures), one for each of them
    edges    observations of the first and of the last frame, by sequence analyzer; empty for an empty range
    """

    wanted: range
    frames: list[tuple[int, Measures]] = field(repr=False)
    edges: dict[str, tuple[Observation, Observation]] = field(repr=False)

    def to_bytes(self) -> bytes:
        """The same results always give the same bytes."""
        wanted = [self.wanted.start, self.wanted.stop, self.wanted.step]
        document = json.dumps({"wanted": wanted, "frames": self.frames, "edges": list(self.edges)})
        arrays: dict[str, Any] = {"document": np.frombuffer(document.encode(), np.uint8)}
        for number, (first, last) in enumerate(self.edges.values()):
            arrays |= {f"first_{number}": first, f"last_{number}": last}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> RangeResults:
        """Reads what `to_bytes` wrote; ContractViolation for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                document = json.loads(arrays["document"].tobytes())
                edges = {
                    name: (arrays[f"first_{number}"], arrays[f"last_{number}"])
                    for number, name in enumerate(document["edges"])
                }
            frames = [(frame_index, measures) for frame_index, measures in document["frames"]]
            return cls(range(*document["wanted"]), frames, edges)
        except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
            raise ContractViolation("the stored results of a range are damaged; process the range again") from error


def analyze_range(video: VideoDecoder, wanted: range, analyzers: Sequence[Analyzer]) -> RangeResults:
    """Decodes the wanted frames once and shows each to every analyzer. UndecodableFrames when one does not come out."""
    frames: list[tuple[int, Measures]] = []
    first: dict[str, Observation] = {}
    last: dict[str, Observation] = {}
    for frame in video.frames(wanted):
        frames.append((frame.index, {one.name: _measure(one, frame, last) for one in analyzers}))
        first = first or dict(last)
    return RangeResults(wanted, frames, {name: (first[name], last[name]) for name in first})


def _measure(analyzer: Analyzer, frame: Frame, last: dict[str, Observation]) -> dict[str, Any]:
    match analyzer:
        case FrameAnalyzer():
            return _plain(analyzer.analyze(frame))
        case SequenceAnalyzer():
            observation = analyzer.observe(frame)
            measure = analyzer.compare(last.get(analyzer.name), observation)
            last[analyzer.name] = observation
            return _plain(measure)
    raise TypeError(f"{type(analyzer).__name__} is neither a FrameAnalyzer nor a SequenceAnalyzer")


def merge_ranges(ranges: Iterable[RangeResults], analyzers: Sequence[Analyzer]) -> Iterator[dict[str, Any]]:
    """Streams `{"frame_index": i, "result": {analyzer: {...}}}`, in constant memory, from ranges in the video's order.

    A frame whose predecessor is not there, because its range was lost, is compared with nothing."""
    indices, *copies = tee(_joined(ranges, analyzers), len(analyzers) + 1)
    columns = [_results(analyzer, frames) for analyzer, frames in zip(analyzers, copies, strict=True)]
    names = [analyzer.name for analyzer in analyzers]
    for (frame_index, _), *results in zip(indices, *columns, strict=True):
        yield {"frame_index": frame_index, "result": dict(zip(names, results, strict=True))}


def _joined(ranges: Iterable[RangeResults], analyzers: Sequence[Analyzer]) -> Iterator[tuple[int, Measures]]:
    """Frames of all ranges; the first of each is compared anew with the last of the range before, where they touch."""
    comparing = [analyzer for analyzer in analyzers if isinstance(analyzer, SequenceAnalyzer)]
    expected_start = -1
    before: dict[str, tuple[Observation, Observation]] = {}
    for current in ranges:
        if not current.wanted:
            continue
        assert current.wanted[0] >= expected_start, "ranges must come in the video's order"
        frames = iter(current.frames)
        frame_index, measures = next(frames)
        if current.wanted[0] == expected_start:
            anew = {one.name: one.compare(before[one.name][1], current.edges[one.name][0]) for one in comparing}
            measures = measures | {name: _plain(measure) for name, measure in anew.items()}
        yield frame_index, measures
        yield from frames
        expected_start = current.wanted[-1] + current.wanted.step
        before = current.edges


def _results(analyzer: Analyzer, frames: Iterator[tuple[int, Measures]]) -> Iterator[dict[str, Any]]:
    if not isinstance(analyzer, SequenceAnalyzer):
        return (measures[analyzer.name] for _, measures in frames)
    of_analyzer = ((index, analyzer.measure.model_validate(measures[analyzer.name])) for index, measures in frames)
    return (_plain(result) for result in analyzer.timeline(of_analyzer))


def _plain(result: Any) -> dict[str, Any]:
    """JSON as a parsed document would give it, so that results that went through a store equal those that did not."""
    plain: dict[str, Any] = result.model_dump(mode="json")
    return plain
