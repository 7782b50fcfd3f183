"""What a job may be told, in the ways in which a form, a command line and JSON say it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from reelwork.pipelines.match.parameters import MatchParameters, uploaded

FOLDER = {"source": "folder", "path": "/shelf"}
CLIP = {"source": "path", "path": "/clip.mp4"}


@pytest.mark.parametrize(
    ("products", "expected"),
    [
        ("/shelf", [FOLDER]),
        (["/shelf", "/list.csv"], [FOLDER, {"source": "catalogue", "location": "/list.csv"}]),
        ("https://shop.example/list.jsonl", [{"source": "catalogue", "location": "https://shop.example/list.jsonl"}]),
        (FOLDER, [FOLDER]),
        (json.dumps([{"source": "ebay", "query": "mug"}]), [{"source": "ebay", "query": "mug"}]),
        ([], []),
    ],
)
def test_products(products: Any, expected: list[Any]) -> None:
    assert list(MatchParameters(products=products, videos=[]).products) == expected


@pytest.mark.parametrize(
    ("videos", "expected"),
    [
        ("/clip.mp4", [CLIP]),
        (["https://example.org/a.mp4", CLIP], [{"source": "url", "url": "https://example.org/a.mp4"}, CLIP]),
        (uploaded({"a.mp4": "input/x"}), [{"source": "upload", "files": {"a.mp4": "input/x"}}]),
    ],
)
def test_videos(videos: Any, expected: list[Any]) -> None:
    assert list(MatchParameters(products=[], videos=videos).videos) == expected


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"products": "/shelf"},
        {"products": [7], "videos": []},
        {"products": "{", "videos": []},
        {"products": "[" * 9999, "videos": []},
    ],
)
def test_what_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        MatchParameters.model_validate(given)


@pytest.mark.parametrize("setting", ["off", "products", "all"])
def test_masks_are_those_of_the_setting_unless_the_job_says_so(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELWORK_MATCH_MASKS", setting)
    assert MatchParameters(products=[], videos=[]).masks == setting
    assert MatchParameters(products=[], videos=[], masks="off").masks == "off"
    with pytest.raises(ValidationError):
        MatchParameters(products=[], videos=[], masks="some")
