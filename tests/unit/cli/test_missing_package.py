"""A package that is not installed is a sentence with the command that brings it."""

from __future__ import annotations

import pytest

from reelwork.cli.missing_package import missing_package_fix


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("fastapi.security", "api"),
        ("av", "analyze"),
        ("numpy", "analyze"),
        ("rapidocr", "ocr"),
        ("psycopg", "postgresql"),
        ("redis.asyncio", "redis"),
        ("aiormq", "rabbitmq"),
    ],
)
def test_names_the_extra_that_brings_it(package: str, extra: str) -> None:
    fix = missing_package_fix(ModuleNotFoundError(name=package))
    assert fix is not None
    assert fix.endswith(f"pip install 'reelwork[{extra}]'")


def test_says_nothing_of_others() -> None:
    assert missing_package_fix(ModuleNotFoundError(name="somebody_elses")) is None
    assert missing_package_fix(ModuleNotFoundError("no name")) is None
    assert missing_package_fix(OSError("something else")) is None
