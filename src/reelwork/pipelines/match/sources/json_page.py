"""Pages of JSON from somebody's API, of which nothing is taken for granted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from reelwork.pipelines.match.sources.base import SourceUnusable
from reelwork.pipelines.match.web import Fetcher, Limits
from reelwork.pipelines.match.web.guard import shown

PAGE_LIMITS: Final = Limits(bytes_max=64 * 1024**2, seconds_max=120)


def read_json(
    fetcher: Fetcher,
    url: str,
    *,
    expected: str,
    limits: Limits,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Any:
    """What a page holds. SourceUnusable where it is no JSON, and the fetcher's errors."""
    headers = {"accept": "application/json", **(headers or {})}
    _, data = fetcher.read(url, expected=expected, limits=limits, headers=headers, form=form)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceUnusable(
            f"{shown(url)} answered with something that is not JSON, not {expected}: {error}"
        ) from error


def text_of(value: Any) -> str:
    """A text or a number as text; empty for anything else."""
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
