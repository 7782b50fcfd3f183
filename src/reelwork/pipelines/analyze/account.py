"""What this pipeline adds to the account of a job: how many frames there are, and which are missing and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reelwork.events import VideoRangeReady, parse_event
from reelwork.ledger import AssetState, Job, Ledger
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from reelwork.pipelines.analyze.frame_plan import frames_between, processed_frames
from reelwork.pipelines.analyze.parameters import AnalyzeJob


def account_of(job: Job, ledger: Ledger) -> Mapping[str, Any]:
    """`{"frames": processed in all, "missing_frames": [{"start", "end", "frames", "reason"}]}`; [start, end) in the
    source.
    """
    parameters = AnalyzeJob.model_validate(job.parameters)
    selected = processed_frames(parameters, parameters.input.frame_count)
    missed = {
        asset.asset_id: "analysed only after the results were written"
        if asset.state is AssetState.DONE
        else asset.error
        for asset in ledger.assets(job.job_id, RANGES_STAGE, states=[AssetState.FAILED, AssetState.DONE])
        if asset.late or asset.state is AssetState.FAILED
    }
    missing = [
        {
            "start": event.start,
            "end": event.end,
            "frames": len(frames_between(selected, event.start, event.end)),
            "reason": missed[event.asset_id],
        }
        for event in (_ranges(job, ledger) if missed else [])
        if event.asset_id in missed
    ]
    return {"frames": len(selected), "missing_frames": missing}


def _ranges(job: Job, ledger: Ledger) -> list[VideoRangeReady]:
    """The ranges as they were sent out."""
    events = [parse_event(row.topic, row.body) for row in ledger.outbox(job.job_id) if row.queue is None]
    return [event for event in events if isinstance(event, VideoRangeReady)]
