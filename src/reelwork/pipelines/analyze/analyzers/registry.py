"""Finds analyzers by their entry points, so that an installed package can add its own.

Everything that would make a job fail later for want of an analyzer, a package or a model is refused here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from reelwork.errors import ConfigurationError, ModelMissing, UnknownAnalyzer
from reelwork.pipelines.analyze.analyzers.base import Analyzer
from reelwork.vision import model_path, pull_command

GROUP = "reelwork.analyzers"


def known_analyzers() -> list[str]:
    """Names of the installed analyzers; none of them is imported."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_analyzers(pipeline_id: str) -> tuple[Analyzer, ...]:
    """The analyzers that a `pipeline_id` joins with `+`, in its order, ready to run.

    UnknownAnalyzer for a name that is not installed, given twice or empty; ModelMissing, with the command that fetches
    it, when weights are absent; ConfigurationError when an analyzer's own packages are."""
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    names = pipeline_id.split("+")
    for name in names:
        if name not in entries:
            raise UnknownAnalyzer(f"{_what_is_wrong(name, pipeline_id)}; known analyzers: {', '.join(sorted(entries))}")
        if names.count(name) > 1:
            raise UnknownAnalyzer(f"analyzer {name!r} stands twice in {pipeline_id!r}")
    analyzers = tuple(_load(entries[name]) for name in names)
    _refuse_missing_models(model for analyzer in analyzers for model in analyzer.models)
    return analyzers


def _what_is_wrong(name: str, pipeline_id: str) -> str:
    if not name:
        return f"pipeline_id {pipeline_id!r} must be names of analyzers joined by '+', such as 'shots+quality'"
    return f"there is no analyzer {name!r}"


def _load(entry: EntryPoint) -> Analyzer:
    try:
        analyzer = entry.load()()
    except ImportError as error:
        raise ConfigurationError(f"analyzer {entry.name!r} cannot be loaded: {error}; {_INSTALL}") from error
    if not isinstance(analyzer, Analyzer) or analyzer.name != entry.name:
        raise ConfigurationError(f"entry point {entry.name!r} must name an Analyzer class of that name: {entry.value}")
    absent = [package for package in analyzer.packages if find_spec(package) is None]
    if absent:
        raise ConfigurationError(f"analyzer {entry.name!r} needs {', '.join(absent)}; {_INSTALL}")
    return analyzer


def _refuse_missing_models(names: Iterable[str]) -> None:
    missing = []
    for name in names:
        try:
            model_path(name)
        except ModelMissing:
            missing.append(name)
    if missing:
        raise ModelMissing(f"weights are not on this machine; fetch them with: {pull_command(*missing)}")


_INSTALL = "install everything that analyzers need with: pip install 'reelwork[all]'"
