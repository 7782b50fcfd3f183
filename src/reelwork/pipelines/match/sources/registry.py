"""Finds sources of products by their entry points, so that an installed package can add its own shop."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from reelwork.errors import ConfigurationError
from reelwork.pipelines.match.sources.base import ProductSource, SourceUnusable

GROUP = "reelwork.product_sources"
KIND = "source"
"""The field of a job's source that names its kind."""


def known_sources() -> list[str]:
    """Names of the installed sources; none of them is imported."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_source(given: Mapping[str, Any]) -> ProductSource:
    """The source that `{"source": <name>, ...}` of a job means.

    SourceUnusable for an unknown name or wrong fields, ConfigurationError for an installed source that is broken.
    """
    fields = dict(given)
    name = fields.pop(KIND, None)
    entry = next((entry for entry in entry_points(group=GROUP) if entry.name == name), None)
    if entry is None:
        raise SourceUnusable(f"there is no source of products called {name!r}; known: {', '.join(known_sources())}")
    try:
        kind = entry.load()
    except ImportError as error:
        raise ConfigurationError(f"source {name!r} cannot be loaded: {error}") from error
    if not isinstance(kind, type) or not issubclass(kind, ProductSource) or kind.name != name:
        raise ConfigurationError(f"entry point {name!r} must name a ProductSource class of that name: {entry.value}")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise SourceUnusable(f"source {name!r}: {place}: {first['msg']}") from error
