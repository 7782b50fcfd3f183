"""What is decided of a job's video once, before its first segment: a retry cuts where the first try did."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction

from reelwork.errors import ContractViolation
from reelwork.media import CutPlan, Segment
from reelwork.pipelines.stereo.models import DepthRange


@dataclass(frozen=True)
class StereoPlan:
    """depth_range: of the whole video, for a model that asks for it."""

    cuts: CutPlan
    depth_range: DepthRange | None

    def to_bytes(self) -> bytes:
        """The same plan always gives the same bytes."""
        cuts = self.cuts
        document = {
            "time_base": cuts.time_base.as_integer_ratio(),
            "segments": [[segment.first_frame, segment.frame_count, segment.pts] for segment in cuts.segments],
            "last_pts": cuts.last_pts,
            "end_pts": cuts.end_pts,
            "depth_range": self.depth_range,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> StereoPlan:
        """Raises ContractViolation for anything that `to_bytes` did not write."""
        try:
            document = json.loads(data)
            cuts = CutPlan(
                time_base=Fraction(*document["time_base"]),
                segments=tuple(Segment(*numbers) for numbers in document["segments"]),
                last_pts=int(document["last_pts"]),
                end_pts=int(document["end_pts"]),
            )
            within = document["depth_range"]
            return cls(cuts, None if within is None else (float(within[0]), float(within[1])))
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise ContractViolation("the stored cut points of the video are damaged; submit it again") from error
