"""Scripts branch on these numbers, so they never change."""

from __future__ import annotations

import pytest

from reelwork.cli.exit_code import Interrupted, JobEndedBadly, NotFinished, ServerUnreachable, exit_code_of
from reelwork.errors import (
    ConfigurationError,
    JobNotFound,
    ModelMissing,
    ReelworkError,
    StoreUnavailable,
    UnreadableMedia,
    UploadTooLarge,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (JobEndedBadly, 1),
        (StoreUnavailable, 1),
        (UnreadableMedia, 2),
        (ModelMissing, 2),
        (UploadTooLarge, 2),
        (ConfigurationError, 2),
        (JobNotFound, 2),
        (ServerUnreachable, 3),
        (NotFinished, 4),
        (Interrupted, 130),
    ],
)
def test_an_error_has_its_exit_code(kind: type[ReelworkError], code: int) -> None:
    assert exit_code_of(kind("why")) == code
