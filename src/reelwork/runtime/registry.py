"""Finds the installed pipelines by the entry point group `reelwork.pipelines`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

from reelwork.errors import ConfigurationError
from reelwork.runtime.declaration import Catalogue, Pipeline

ENTRY_POINT_GROUP: Final = "reelwork.pipelines"


def load_catalogue() -> Catalogue:
    """Every installed pipeline. Raises ConfigurationError naming one that cannot be loaded."""
    pipelines = []
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry_point: entry_point.name):
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
