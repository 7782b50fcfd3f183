"""Finds the installed pipelines by the entry point group `reelwork.pipelines`."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import entry_points
from typing import Final

from reelwork.errors import ConfigurationError
from reelwork.runtime.declaration import Catalogue, Pipeline

ENTRY_POINT_GROUP: Final = "reelwork.pipelines"


def load_catalogue(names: Collection[str] | None = None) -> Catalogue:
    """The installed pipelines of these names; None = all.

    Raises ConfigurationError naming one that is not installed or cannot be loaded.
    """
    pipelines = []
    installed = entry_points(group=ENTRY_POINT_GROUP)
    unknown = sorted(set(names or ()) - installed.names)
    if unknown:
        known = ", ".join(sorted(installed.names)) or "none"
        raise ConfigurationError(
            f"no pipeline is called {', '.join(unknown)}, as REELWORK_PIPELINES says; known: {known}"
        )
    for entry_point in sorted(installed, key=lambda entry_point: entry_point.name):
        if names is not None and entry_point.name not in names:
            continue
        try:
            pipeline = entry_point.load()
        except Exception as error:
            raise ConfigurationError(
                f"pipeline {entry_point.name} ({entry_point.value}) does not load: {error}"
            ) from error
        if not isinstance(pipeline, Pipeline):
            raise ConfigurationError(f"pipeline {entry_point.name} ({entry_point.value}) is not a reelwork.Pipeline")
        if pipeline.submitted not in {subscription.event_type for subscription in pipeline.subscriptions}:
            raise ConfigurationError(f"no service of pipeline {pipeline.name} takes {pipeline.submitted.topic}")
        pipelines.append(pipeline)
    return Catalogue.of(pipelines)
