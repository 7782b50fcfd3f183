"""What the events of the match pipeline are made of: the names of things, where they lie, and parts of events."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

FRAMES_PER_MESSAGE_MAX = 50

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^/\x00-\x1f]*$")]
"""Of a product, an image, a video or a frame: any text that can be joined with others by a slash."""
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Source = dict[str, Any]
"""Where products or videos come from: a kind, and what that kind needs to be told."""


def joined(*names: str) -> str:
    """The id of an asset that belongs to another thing, such as an image of a product."""
    return "/".join(names)


class Part(BaseModel):
    """Something inside an event."""

    model_config = ConfigDict(frozen=True, extra="forbid")
