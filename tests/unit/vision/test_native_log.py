"""Greetings of native libraries are dropped; anything else still reaches standard error."""

from __future__ import annotations

import os

import pytest

from reelwork.vision.native_log import native_chatter_removed


def test_only_information_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with native_chatter_removed():
        os.write(2, b"INFO: created a delegate\nERROR: the model is broken\n")
    os.write(2, b"INFO: afterwards\n")
    assert capfd.readouterr().err == "ERROR: the model is broken\nINFO: afterwards\n"
