"""What a job may be told, in the ways in which a form, a command line and JSON say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reelwork.pipelines.match.access import PathRefused
from reelwork.pipelines.match.parameters import MatchParameters, check_parameters, uploaded
from reelwork.vision import pull_model
from tests.weights import TEST_MODELS_DIR

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


def test_a_job_names_no_folders_of_its_own_unless_the_workers_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = MatchParameters(products=str(tmp_path), videos=[], own_folders=[str(tmp_path)])
    monkeypatch.delenv("REELWORK_SOURCE_FOLDERS", raising=False)
    with pytest.raises(PathRefused, match="own_folders is for `reelwork match`"):
        check_parameters(given)
    monkeypatch.setenv("REELWORK_JOBS_NAME_FOLDERS", "true")
    monkeypatch.setenv("REELWORK_MODELS_DIR", str(TEST_MODELS_DIR))
    pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)
    check_parameters(given)


@pytest.mark.parametrize("setting", ["off", "products", "all"])
def test_masks_are_those_of_the_setting_unless_the_job_says_so(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELWORK_MATCH_MASKS", setting)
    assert MatchParameters(products=[], videos=[]).masks == setting
    assert MatchParameters(products=[], videos=[], masks="off").masks == "off"
    with pytest.raises(ValidationError):
        MatchParameters(products=[], videos=[], masks="some")
