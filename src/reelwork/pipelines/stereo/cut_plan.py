"""The cut points of a job's video, kept from the moment they are chosen: a retry cuts where the first try did."""

from __future__ import annotations

import json
from fractions import Fraction

from reelwork.errors import ContractViolation
from reelwork.media import CutPlan, Segment


def to_bytes(plan: CutPlan) -> bytes:
    """The same plan always gives the same bytes."""
    document = {
        "time_base": plan.time_base.as_integer_ratio(),
        "segments": [[segment.first_frame, segment.frame_count, segment.pts] for segment in plan.segments],
        "last_pts": plan.last_pts,
        "end_pts": plan.end_pts,
    }
    return json.dumps(document).encode()


def from_bytes(data: bytes) -> CutPlan:
    """Raises ContractViolation for anything that `to_bytes` did not write."""
    try:
        document = json.loads(data)
        return CutPlan(
            time_base=Fraction(*document["time_base"]),
            segments=tuple(Segment(*numbers) for numbers in document["segments"]),
            last_pts=int(document["last_pts"]),
            end_pts=int(document["end_pts"]),
        )
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise ContractViolation("the stored cut points of the video are damaged; submit it again") from error
