"""The settings of a command: those of the environment, and what its options say instead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelwork.errors import ConfigurationError

if TYPE_CHECKING:
    from reelwork.settings import Config


def load_config(*, data: Path | None = None, **changes: Any) -> Config:
    """Raises ConfigurationError naming the settings of the environment that cannot be used."""
    from pydantic import ValidationError

    from reelwork.settings import Config

    try:
        config = Config()
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigurationError("; ".join(problems)) from error
    if data is not None:
        changes["REELWORK_DATA_DIR"] = data.absolute()
    return config.model_copy(update=changes)


def default_workers() -> int:
    """One for each CPU that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
