"""The description of the HTTP face, from which `contracts/openapi.json` is written; it needs no back end."""

from __future__ import annotations

import json
from typing import Any

from reelwork.api.app import bare_app


def openapi_document() -> dict[str, Any]:
    """OpenAPI 3.1; the same code always gives the same document, with sorted keys."""
    document: dict[str, Any] = json.loads(json.dumps(bare_app().openapi(), sort_keys=True))
    return document
