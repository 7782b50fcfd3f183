"""A way to SQS that can be made to fail: requests go on to a real one, unless a test answers them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

Answer = tuple[int, dict[str, Any]]
Forward = Callable[[dict[str, Any]], Awaitable[Answer]]
Spoil = Callable[[dict[str, Any], Forward], Awaitable[Answer]]


class NoAnswer(Exception):
    """The connection breaks instead."""


class FaultySqs:
    """asked: how often each action was asked for. spoils: what is done with a request for an action."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.spoils: dict[str, Spoil] = {}


def refused(code: str) -> Answer:
    return 400, {"__type": f"com.amazonaws.sqs#{code}", "message": "so it is"}


def failed(entry: dict[str, Any], code: str, *, is_senders: bool = False) -> dict[str, Any]:
    return {"Id": entry["Id"], "SenderFault": is_senders, "Code": code, "Message": "so it is"}


@asynccontextmanager
async def faulty_sqs(real_url: str) -> AsyncIterator[FaultySqs]:
    faulty = FaultySqs()
    async with aiohttp.ClientSession(
        auto_decompress=False, connector=aiohttp.TCPConnector(force_close=True)
    ) as session:

        async def serve(request: web.Request) -> web.StreamResponse:
            action = request.headers["X-Amz-Target"].partition(".")[2]
            faulty.asked[action] += 1

            async def forward(asked: dict[str, Any]) -> Answer:
                kept = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
                body = json.dumps(asked).encode()
                async with session.post(real_url + request.path, data=body, headers=kept) as answer:
                    return answer.status, json.loads(await answer.read() or b"{}")

            try:
                asked = json.loads(await request.read())
                status, told = await faulty.spoils.get(action, _unspoilt)(asked, forward)
            except NoAnswer:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return web.Response(
                status=status, body=json.dumps(told).encode(), headers={"Content-Type": "application/x-amz-json-1.0"}
            )

        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        faulty.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield faulty
        finally:
            await runner.cleanup()


async def _unspoilt(asked: dict[str, Any], forward: Forward) -> Answer:
    return await forward(asked)
