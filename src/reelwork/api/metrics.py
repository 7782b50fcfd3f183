"""The numbers of this server for Prometheus: what its node has done, and what there is in all of Reelwork."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Response

from reelwork.api.state import AppState
from reelwork.runtime.metrics.page import MetricsMissing, render

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(state: AppState, accept: Annotated[str, Header()] = "") -> Response:
    """Text for Prometheus, or OpenMetrics where it is asked for; 501 where prometheus-client is not installed."""
    backends = state.backends
    look = await state.present.look()
    queues = backends.broker.topology.all_queues()
    try:
        page = await asyncio.to_thread(render, accept, queues=queues, crew=backends.crew, look=look)
    except MetricsMissing as error:
        raise HTTPException(501, str(error)) from error
    return Response(page.body, media_type=page.content_type)
