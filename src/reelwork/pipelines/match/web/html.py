"""Tells a web page from a file: servers answer many a missing or forbidden file with a page, and call it success."""

from __future__ import annotations

import re

_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)[\s>]", re.I | re.S)
HEAD_BYTES = 1024


def looks_like_html(head: bytes, content_type: str = "") -> bool:
    """Whether an answer that begins like this, or says so of itself, is a web page."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or _BEGINNING.match(head[:HEAD_BYTES]) is not None
