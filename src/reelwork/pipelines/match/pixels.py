"""Stored pictures for those who seldom need them: read and decoded when the matcher asks, and not before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from reelwork.objects import ObjectStore
from reelwork.pipelines.match.features import Image, decoded, mask_from_bytes
from reelwork.pipelines.match.matching import Template


def picture_at(objects: ObjectStore, key: str) -> Callable[[], Image]:
    """Each call reads the picture anew: a frame is looked at once, and there are many."""
    return lambda: decoded(objects.get(key))


def template_at(objects: ObjectStore, key: str, mask_key: str | None) -> Callable[[], Template]:
    """Made at the first call and kept, because many frames are compared with it. Without a mask all is product."""

    @cache
    def template() -> Template:
        picture = decoded(objects.get(key))
        mask = None if mask_key is None else mask_from_bytes(objects.get(mask_key))
        whole = np.ones(picture.shape[:2], np.bool_)
        return Template.of(picture, whole if mask is None or not mask.any() else mask)

    return template
