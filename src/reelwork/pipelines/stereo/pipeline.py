"""The stereo pipeline: a 2D video in, a side-by-side or anaglyph 3D video out."""

from __future__ import annotations

from reelwork.events import StereoSubmitted
from reelwork.pipelines.stereo.chunking_worker import chunking_worker
from reelwork.pipelines.stereo.media_worker import REASSEMBLY_STAGE, media_worker
from reelwork.pipelines.stereo.parameters import StereoParameters, check_parameters
from reelwork.pipelines.stereo.video_worker import PIPELINE, SEGMENTS_STAGE, video_worker
from reelwork.runtime import Phase, Pipeline

pipeline = Pipeline(
    name=PIPELINE,
    parameters=StereoParameters,
    submitted=StereoSubmitted,
    phases=(
        Phase(name="conversion", stages=(SEGMENTS_STAGE,), share=0.95),
        Phase(name="reassembly", stages=(REASSEMBLY_STAGE,), is_left_by_service=True, share=0.05),
    ),
    services=(chunking_worker, video_worker, media_worker),
    check=check_parameters,
)
