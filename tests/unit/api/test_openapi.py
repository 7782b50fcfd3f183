"""The description says what there is, and what is served is what the contract holds."""

from __future__ import annotations

import json

from reelwork.api.openapi import openapi_document
from tests.unit.api.conftest import Server


def test_is_always_the_same_and_the_one_that_is_served(server: Server) -> None:
    document = openapi_document()
    assert json.dumps(document) == json.dumps(openapi_document()) == json.dumps(document, sort_keys=True)
    assert server.get("/openapi.json").json() == document


def test_describes_the_form_of_a_submission() -> None:
    for path in ("/video/submit", "/jobs"):
        content = openapi_document()["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]
        assert content["schema"]["required"] == ["file"]
        assert {"file", "pipeline", "pipeline_id", "frame_stride", "max_frames"} <= set(content["schema"]["properties"])


def test_the_bodies_of_video_have_their_fields_and_no_others() -> None:
    schemas = openapi_document()["components"]["schemas"]
    fields = {name: sorted(schemas[name]["properties"]) for name in ("Submitted", "VideoStatus", "VideoResults")}
    assert fields == {
        "Submitted": ["job_id"],
        "VideoStatus": ["job_id", "progress", "status"],
        "VideoResults": ["job_id", "results"],
    }
