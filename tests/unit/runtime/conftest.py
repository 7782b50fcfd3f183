"""The tiny pipelines' contracts are known only while a test of this folder runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reelwork.events import VALIDATORS
from tests.unit.runtime.house import register_tiny_events


@pytest.fixture(autouse=True)
def _tiny_contracts() -> Iterator[None]:
    before = dict(VALIDATORS)
    register_tiny_events()
    yield
    VALIDATORS.clear()
    VALIDATORS.update(before)
