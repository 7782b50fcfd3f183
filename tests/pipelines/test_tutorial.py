"""The pipeline of docs/tutorial.md does what the page says, with a file that is no video among the others."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest

from tests.clips import write_clip
from tests.e2e.commands import reelwork, running

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
(PIPELINE,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
ENTRY_POINT = re.search(r'\[project.entry-points."(.+?)"\]\n(.+?)\n```', PAGE.read_text(), re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The page's package lies where Python finds it, with the entry point of the page."""
    assert ENTRY_POINT is not None
    package = tmp_path / "package"
    metadata = package / "thumbnails-1.0.dist-info"
    metadata.mkdir(parents=True)
    (package / "thumbnails.py").write_text(PIPELINE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: thumbnails\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINT[1]}]\n{ENTRY_POINT[2].replace(chr(34), '')}\n")
    return {"PYTHONPATH": os.pathsep.join([str(package), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}


def test_paints_every_video_and_says_which_it_could_not(tmp_path: Path, environment: dict[str, str]) -> None:
    clips = [write_clip(tmp_path / name) for name in ("garden.mp4", "holiday.mp4")]
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(b"no video" * 100)
    with running(
        ["serve", "--data", tmp_path / "data", "--port", "0", "--workers", "2"], environment=environment
    ) as server:
        url = server.told["url"]
        files = [("videos", (path.name, path.read_bytes())) for path in (*clips, torn)]
        made = httpx.post(f"{url}/jobs", data={"pipeline": "thumbnails"}, files=files, timeout=30)
        job_id = made.raise_for_status().json()["job_id"]
        ended = reelwork("wait", job_id, "--url", url, "--json")
        assert ended.document["status"] == "completed", ended
        captions = [result["caption"] for result in httpx.get(f"{url}/video/results/{job_id}").json()["results"]]
        assert captions == ["garden.mp4: 1.2 s, 64 x 48", "holiday.mp4: 1.2 s, 64 x 48"]
        (first, second) = httpx.get(f"{url}/jobs/{job_id}/artifacts").json()["artifacts"]
        assert [artifact["name"] for artifact in (first, second)] == ["0000.jpg", "0001.jpg"]
        assert httpx.get(url + first["url"]).content[:2] == b"\xff\xd8"
        job = httpx.get(f"{url}/jobs/{job_id}").json()
        (stage,) = job["stages"]
        assert (stage["done"], stage["failed"], stage["completion"]["reason"]) == (2, 1, "settled")
        (letter,) = job["dead_letters"]
        assert "not a video" in letter["error"]
