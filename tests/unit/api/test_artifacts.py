"""What a job has made to be looked at comes as what it is, and nothing else of the store can be reached."""

from __future__ import annotations

import httpx
import pytest

from reelwork.objects.keys import artifact_key
from tests.seaweed import CREDENTIALS, fresh_url
from tests.unit.api.conftest import Server, ServerMaker


@pytest.fixture
def job_id(server: Server, video: bytes) -> str:
    job_id = server.submit(video)
    server.objects.put(artifact_key(job_id, "report.html"), b"<h1>found</h1>")
    server.objects.put(artifact_key(job_id, "evidence/00000.jpg"), b"jpeg")
    return job_id


def test_all_of_them_are_listed(server: Server, job_id: str) -> None:
    assert server.get(f"/jobs/{job_id}/artifacts").json() == {
        "job_id": job_id,
        "status": "pending",
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


CLIP = bytes(range(256)) * 20_000
PARTS = {
    "bytes=0-0": (0, 1),
    "bytes=0-": (0, len(CLIP)),
    "bytes=4194300-4194309": (4194300, 4194310),
    "bytes=5119990-9999999999": (5119990, len(CLIP)),
    "bytes=-7": (len(CLIP) - 7, len(CLIP)),
    "bytes=-9999999999": (0, len(CLIP)),
    "Bytes = 5 - 6": (5, 7),
}
NOT_UNDERSTOOD = ("bytes=0-1,5-6", "bytes=9-3", "bytes=-", "lines=0-1", "bytes=x-", "bytes 0-1", "")
BEHIND_THE_END = ("bytes=5120000-", "bytes=9999999999-9999999999", "bytes=-0")


@pytest.mark.parametrize("store", ["file", "s3"])
def test_a_long_one_is_had_in_parts(
    make_server: ServerMaker, video: bytes, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a browser plays a clip, or goes on with a download."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with make_server(**({"REELWORK_OBJECTS_URL": fresh_url()} if store == "s3" else {})) as server:
        job_id = server.submit(video)
        server.objects.put(artifact_key(job_id, "clip.mp4"), CLIP)
        server.objects.put(artifact_key(job_id, "report.html"), b"<h1>found</h1>")
        clip = f"/jobs/{job_id}/artifacts/clip.mp4"
        whole = server.get(clip)
        assert (whole.status_code, whole.content) == (200, CLIP)
        assert whole.headers["Content-Length"] == str(len(CLIP))
        assert (whole.headers["Accept-Ranges"], whole.headers["Content-Type"]) == ("bytes", "video/mp4")
        assert "media-src 'self'" in whole.headers["Content-Security-Policy"]
        for asked, (start, end) in PARTS.items():
            answer = server.get(clip, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (206, CLIP[start:end]), asked
            assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CLIP)}"
            assert answer.headers["Content-Length"] == str(end - start)
            assert answer.headers["Content-Type"] == "video/mp4"
        for asked in NOT_UNDERSTOOD:
            assert server.get(clip, headers={"Range": asked}).status_code == 200, asked
        for asked in BEHIND_THE_END:
            answer = server.get(clip, headers={"Range": asked})
            assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(CLIP)}"), asked
        going_on = {"Range": "bytes=5-6", "If-Range": whole.headers["ETag"]}
        assert server.get(clip, headers=going_on).content == CLIP[5:7]
        assert server.get(clip, headers=going_on | {"If-Range": '"other"'}).content == CLIP
        page = server.get(f"/jobs/{job_id}/artifacts/report.html", params={"link": "true"}, follow_redirects=False)
        assert (page.status_code, "sandbox" in page.headers["Content-Security-Policy"]) == (200, True)
        link = server.get(clip, params={"link": "true"}, follow_redirects=False)
        if store == "s3":
            assert link.status_code == 307
            assert httpx.get(link.headers["Location"], headers={"Range": "bytes=5-6"}).content == CLIP[5:7]
        else:
            assert (link.status_code, link.content) == (200, CLIP)


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
        "report.html/x",
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


def test_a_cancelled_job_keeps_what_it_had_made_and_says_so(server: Server, job_id: str) -> None:
    server.post(f"/jobs/{job_id}/cancel")
    listed = server.get(f"/jobs/{job_id}/artifacts").json()
    assert listed["status"] == "cancelled"
    assert [one["name"] for one in listed["artifacts"]] == ["evidence/00000.jpg", "report.html"]


def test_those_of_an_unknown_job_are_not_there(server: Server) -> None:
    assert server.get("/jobs/0f5b3a8e-7a51-4e29-8c39-3d3f4ad3c001/artifacts").status_code == 404
