"""Analyzers: what a job can say about a frame. One file each; joined by name in a `pipeline_id`, as in `shots+objects`.

Importing this package imports no analyzer; `load_analyzers` imports those that were asked for."""

from reelwork.pipelines.analyze.analyzers.base import Analyzer, FrameAnalyzer, SequenceAnalyzer
from reelwork.pipelines.analyze.analyzers.registry import known_analyzers, load_analyzers

__all__ = ["Analyzer", "FrameAnalyzer", "SequenceAnalyzer", "known_analyzers", "load_analyzers"]
