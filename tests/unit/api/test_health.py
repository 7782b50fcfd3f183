"""A server that stands on nothing says which part of it is missing."""

from __future__ import annotations

import shutil

from tests.unit.api.conftest import Server


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
