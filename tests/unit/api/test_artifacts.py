"""What a job has made to be looked at comes as what it is, and nothing else of the store can be reached."""

from __future__ import annotations

import pytest

from reelwork.objects.keys import artifact_key
from tests.unit.api.conftest import Server


@pytest.fixture
def job_id(server: Server, video: bytes) -> str:
    job_id = server.submit(video)
    server.objects.put(artifact_key(job_id, "report.html"), b"<h1>found</h1>")
    server.objects.put(artifact_key(job_id, "evidence/00000.jpg"), b"jpeg")
    return job_id


def test_all_of_them_are_listed(server: Server, job_id: str) -> None:
    assert server.get(f"/jobs/{job_id}/artifacts").json() == {
        "job_id": job_id,
        "artifacts": [
            {"name": "evidence/00000.jpg", "url": f"/jobs/{job_id}/artifacts/evidence/00000.jpg"},
            {"name": "report.html", "url": f"/jobs/{job_id}/artifacts/report.html"},
        ],
    }


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [("report.html", "text/html; charset=utf-8", b"<h1>found</h1>"), ("evidence/00000.jpg", "image/jpeg", b"jpeg")],
)
def test_one_is_shown_as_what_it_is(server: Server, job_id: str, name: str, kind: str, content: bytes) -> None:
    answer = server.get(f"/jobs/{job_id}/artifacts/{name}")
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, kind, content)
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    [
        "none.html",
        "",
        "/",
        "../../results.json",
        "%2e%2e/results.json",
        "%2e%2e/%2e%2e/x",
        "evidence",
        "a//b",
        "a%00b",
        "a%0ab",
    ],
)
def test_what_is_none_is_not_there(server: Server, job_id: str, name: str) -> None:
    server.objects.put(f"jobs/{job_id}/results.json", b"[]")
    answer = server.get(f"/jobs/{job_id}/artifacts/{name}")
    assert answer.status_code == 404
    assert answer.json()["detail"]


def test_those_of_an_unknown_job_are_not_there(server: Server) -> None:
    assert server.get("/jobs/0f5b3a8e-7a51-4e29-8c39-3d3f4ad3c001/artifacts").status_code == 404
