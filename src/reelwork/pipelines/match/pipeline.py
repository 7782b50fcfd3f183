"""The match pipeline: products and videos in; which product appears in which video, when, and the evidence out."""

from __future__ import annotations

from reelwork.events import MatchRequest, MatchSubmitted, stable_event_id
from reelwork.ledger import Job
from reelwork.pipelines.match import stages
from reelwork.pipelines.match.account import account_of
from reelwork.pipelines.match.evidence_builder import evidence_builder
from reelwork.pipelines.match.matcher import matcher
from reelwork.pipelines.match.parameters import MatchParameters, check_parameters, uploaded
from reelwork.pipelines.match.planner import planner
from reelwork.pipelines.match.product_finder import product_finder
from reelwork.pipelines.match.product_segmentor import product_segmentor
from reelwork.pipelines.match.video_crawler import video_crawler
from reelwork.pipelines.match.vision_embedding import vision_embedding
from reelwork.pipelines.match.vision_keypoint import vision_keypoint
from reelwork.runtime import Phase, Pipeline


def match_request(job: Job) -> MatchRequest:
    """Its id is not made of its topic: there is a stage of that name, whose completion has that id."""
    return MatchRequest(job_id=job.job_id, event_id=stable_event_id(f"{job.job_id}/phase/matching"))


pipeline = Pipeline(
    name="match",
    parameters=MatchParameters,
    submitted=MatchSubmitted,
    phases=(
        Phase(name="collection", stages=(stages.PRODUCTS, stages.VIDEOS), share=0.2),
        Phase(
            name="feature_extraction",
            stages=(
                stages.IMAGE_EMBEDDINGS,
                stages.IMAGE_KEYPOINTS,
                stages.VIDEO_EMBEDDINGS,
                stages.VIDEO_KEYPOINTS,
            ),
            share=0.6,
        ),
        Phase(name="matching", stages=(stages.MATCHES,), request=match_request, share=0.15),
        Phase(name="evidence", stages=(stages.EVIDENCES,), is_left_by_service=True, share=0.05),
    ),
    services=(
        planner,
        product_finder,
        video_crawler,
        product_segmentor,
        vision_embedding,
        vision_keypoint,
        matcher,
        evidence_builder,
    ),
    check=check_parameters,
    details=account_of,
    files={"products": uploaded, "videos": uploaded},
)
