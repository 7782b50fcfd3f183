"""The stores that the suite runs on: a folder, memory, and a real S3 that checks signatures."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelwork.objects import ObjectStore, open_objects
from tests.seaweed import CREDENTIALS, fresh_url

STORES = ("file", "memory", "s3")


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "s3":
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        return fresh_url()
    return f"file://{tmp_path}/objects" if request.param == "file" else "memory://"


@pytest.fixture
def objects(store_url: str) -> ObjectStore:
    return open_objects(store_url)
