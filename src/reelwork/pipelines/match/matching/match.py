"""What matching says: a product, a video, how sure, when, and the pair of pictures that shows it best."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Method = Literal["geometry", "embedding"]
Row = tuple[float, float, float]
PointPair = tuple[float, float, float, float]
Span = tuple[float, float]


class Pair(BaseModel):
    """A product's picture and a frame that show the same thing."""

    model_config = ConfigDict(frozen=True)

    image_id: str
    frame_id: str
    ts: float = Field(description="time of the frame, seconds")
    inliers: int = Field(description="places of the product that were found again in the frame; 0 without geometry")
    homography: tuple[Row, Row, Row] | None = Field(description="picture to frame, both in pixels")
    inlier_points: tuple[PointPair, ...] = Field(description="x, y in the picture and x, y in the frame, in pixels")


class Match(BaseModel):
    """A product in a video. `score` is the probability that it is there, as docs/matching.md tells."""

    model_config = ConfigDict(frozen=True)

    product_id: str
    video_id: str
    score: float = Field(ge=0, le=1)
    method: Method
    best_pair: Pair
    spans: tuple[Span, ...] = Field(description="from and to, seconds, in order and apart")
