"""The record of a converted segment, by the names that others read it by."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class SegmentCompletion(BaseModel):
    """completed_at: in UTC. output_s3_uri: of the converted segment."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    segment_index: int
    output_s3_uri: str
    completed_at: datetime
    total_segments: int
