"""A server that stands on nothing says which part of it is missing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from reelwork.runtime.backends import open_backends
from tests.house import config_in
from tests.unit.api.conftest import Server, tiny_catalogue
from tests.valkey import valkey_server


def test_up_and_ready(server: Server) -> None:
    assert (server.get("/healthz").status_code, server.get("/healthz").json()) == (200, {"status": "ok"})
    assert (server.get("/readyz").status_code, server.get("/readyz").json()) == (200, {"status": "ready"})


def test_without_its_objects_it_is_up_and_not_ready(server: Server) -> None:
    objects = server.backends.config.REELWORK_DATA_DIR / "objects"
    shutil.rmtree(objects)
    objects.write_text("in the way")
    answer = server.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("the object store is down: ")
    assert int(answer.headers["Retry-After"]) > 0
    assert server.get("/healthz").status_code == 200


def test_without_its_database_it_says_so(server: Server) -> None:
    data = server.backends.config.REELWORK_DATA_DIR
    data.rename(data.with_name("elsewhere"))
    answer = server.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("the ledger is down: ")
    assert server.get("/jobs").status_code == 503


def test_without_its_broker_it_says_so_and_is_ready_again_when_that_is_back(tmp_path: Path) -> None:
    async def test() -> None:
        with valkey_server() as valkey:
            config = config_in(tmp_path, REELWORK_BROKER_URL=valkey.url())
            backends = await open_backends(config, catalogue=tiny_catalogue())
            async with Server(backends).client() as client:
                assert (await client.get("/readyz")).status_code == 200
                valkey.kill()
                answer = await client.get("/readyz")
                assert answer.status_code == 503
                assert answer.json()["detail"].startswith("the broker is down: ")
                valkey.restart()
                assert (await client.get("/readyz")).status_code == 200
            await backends.close()

    asyncio.run(test())
