"""The text reader reads what is written, and never looks for a network."""

from __future__ import annotations

import socket
from typing import NoReturn

import numpy as np
import pytest

from reelwork.vision.opencv import Picture, cv2
from reelwork.vision.text_reader import TextReader


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> TextReader:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a worker must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return TextReader()


def page(*lines: str) -> Picture:
    picture = np.full((180, 480, 3), 245, np.uint8)
    for number, line in enumerate(lines):
        cv2.putText(picture, line, (40, 60 + 70 * number), (20, 20, 20), cv2.FontFace("sans"), 36, 500)
    return picture


def test_lines_are_read_from_top_to_bottom(reader: TextReader, capfd: pytest.CaptureFixture[str]) -> None:
    upper, lower = reader.read(page("Reelwork", "Frame 1024"))
    assert upper.label == "Reelwork"
    assert lower.label.replace(" ", "") == "Frame1024"
    assert upper.score > 0.9
    assert 0 < upper.box[1] < upper.box[3] < lower.box[3] < 1
    assert abs(upper.box[0] - 40 / 480) < 0.04
    assert capfd.readouterr().err == ""


def test_an_empty_page_has_no_lines(reader: TextReader, capfd: pytest.CaptureFixture[str]) -> None:
    assert reader.read(page()) == []
    assert capfd.readouterr().err == ""
