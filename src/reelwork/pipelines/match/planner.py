"""Starts a job: its products and its videos are collected at the same time."""

from __future__ import annotations

from reelwork.events import MatchSubmitted, ProductsCollectRequest, VideosSearchRequest
from reelwork.pipelines.match.parameters import parameters_of
from reelwork.runtime import Context, Service

planner = Service("match-planner")


@planner.on(MatchSubmitted, queue="q.match.jobs")
def handle_match_submitted(event: MatchSubmitted, context: Context) -> None:
    given = parameters_of(context.job)
    context.start_job()
    context.emit(ProductsCollectRequest(job_id=event.job_id, event_id=context.new_id(), sources=given.products))
    context.emit(VideosSearchRequest(job_id=event.job_id, event_id=context.new_id(), sources=given.videos))
