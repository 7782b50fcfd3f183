"""What a worker of this pipeline looks at before it starts."""

from __future__ import annotations

import pytest

from reelwork.errors import ConfigurationError
from reelwork.runtime.registry import load_catalogue
from reelwork.runtime.supervisor import check_services


@pytest.mark.parametrize("services", [["video-worker"], ["chunking-worker", "analyzer"], []])
def test_a_model_that_nobody_knows_stops_those_that_would_use_it(
    monkeypatch: pytest.MonkeyPatch, services: list[str]
) -> None:
    monkeypatch.setenv("MODEL", "magic")
    with pytest.raises(
        ConfigurationError, match="MODEL: no stereo model is called 'magic'; there are: stub, shift, depth"
    ):
        check_services(load_catalogue(), services)


def test_others_do_not_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "magic")
    check_services(load_catalogue(), ["media-worker", "analyzer"])
    monkeypatch.setenv("MODEL", "shift")
    check_services(load_catalogue(), [])
