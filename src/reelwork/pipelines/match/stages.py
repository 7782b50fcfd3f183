"""The names of the pipeline's stages, and how the policies of some differ from the default.

What collects, masks or matches waits for an outcome of every asset, or the watermark: what the next stage is announced
is then all that it will get. The vision services behind may complete at the threshold.
"""

from __future__ import annotations

from typing import Final

from reelwork.ledger import CompletionPolicy

PRODUCTS: Final = "products.collections"
VIDEOS: Final = "videos.collections"
IMAGE_MASKS: Final = "image.masks"
VIDEO_MASKS: Final = "video.masks"
IMAGE_EMBEDDINGS: Final = "image.embeddings"
VIDEO_EMBEDDINGS: Final = "video.embeddings"
IMAGE_KEYPOINTS: Final = "image.keypoints"
VIDEO_KEYPOINTS: Final = "video.keypoints"
MATCHES: Final = "match.request"
EVIDENCES: Final = "evidences.generation"


def every_outcome() -> CompletionPolicy:
    return CompletionPolicy(threshold_percentage=100)
