"""`reelwork stereo` as a person runs it: a clip with sound in, and a 3D one out that a player can play."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from tests.browser import played
from tests.clips import write_clip
from tests.e2e.commands import reelwork, running


def test_a_video_goes_through_two_workers_and_comes_out_whole(tmp_path: Path) -> None:
    clip, output = write_clip(tmp_path / "clip.mp4", frames=60, bframes=2, audio=True), tmp_path / "3d.mp4"
    run = reelwork("stereo", clip, "--segment-seconds", "0.3", "--workers", "2", "-o", output, "--json")
    assert run.status == 0, run.stderr
    assert (run.document["segments"], run.document["result"]["frames"]) == (6, 60)
    assert run.document["completions"] == {"reassembly": 1, "segments": 1}
    with av.open(str(clip)) as source, av.open(str(output)) as made:
        assert made.streams.video[0].width == 2 * source.streams.video[0].width
        assert sum(1 for _ in made.decode(video=0)) == 60
    with av.open(str(clip)) as source, av.open(str(output)) as made:
        assert [bytes(p) for p in made.demux(audio=0)] == [bytes(p) for p in source.demux(audio=0)]
    assert output.read_bytes().find(b"moov") < output.read_bytes().find(b"mdat"), "plays while it loads"


def test_what_cannot_be_converted_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "3d.mp4"
    run = reelwork("stereo", write_clip(tmp_path / "clip.mp4"), "--model", "magic", "-o", output)
    assert run.status == 2
    assert "there are: stub, shift, depth" in run.stderr
    assert not output.exists()


@dataclass(frozen=True)
class Converted:
    """A video that a server has converted. url: of its artifact."""

    url: str
    result: dict[str, Any]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converted]:
    folder = tmp_path_factory.mktemp("server")
    clip = write_clip(folder / "clip.mp4", frames=60, size=(160, 120), audio=True)
    with running(("serve", "--data", folder / "data", "--port", "0", "--workers", "1", "--json")) as server:
        url = server.told["url"]
        fields = {"pipeline": "stereo", "mode": "anaglyph", "model": "shift", "segment_seconds": "0.3"}
        with clip.open("rb") as file:
            submitted = httpx.post(f"{url}/video/submit", files={"file": file}, data=fields, timeout=30)
        job_id = submitted.json()["job_id"]
        assert reelwork("wait", job_id, "--timeout", "90", "--url", url).status == 0
        (result,) = httpx.get(f"{url}/video/results/{job_id}").json()["results"]
        (listed,) = httpx.get(f"{url}/jobs/{job_id}/artifacts").json()["artifacts"]
        assert listed["name"] == "final.mp4"
        yield Converted(f"{url}{listed['url']}", result)


def test_a_server_gives_the_video_in_ranges(converted: Converted) -> None:
    result = converted.result
    assert (result["frames"], result["mode"], result["is_converted"]) == (60, "anaglyph", True)
    whole = httpx.get(converted.url)
    assert (whole.headers["content-type"], len(whole.content)) == ("video/mp4", result["bytes"])
    part = httpx.get(converted.url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])


def test_a_browser_plays_it_from_anywhere_to_its_end(converted: Converted, tmp_path: Path) -> None:
    told = played(converted.url, tmp_path)
    assert "error" not in told
    assert (told["width"], told["height"]) == (160, 120)
    assert told["seconds"] == pytest.approx(2.4, abs=0.1)
    assert told["playedTo"] >= 0.7
    for part in (0.8, 0.3):
        came, went = told[f"from {part}"]
        assert came == pytest.approx(part * told["seconds"], abs=0.01)
        assert went >= came + 0.1
    assert told["endedAt"] == pytest.approx(told["seconds"], abs=0.05)
    assert told["frames"] > 0
    assert told["soundBytes"] > 0


def test_a_video_worker_alone_does_not_start_with_a_model_that_nobody_knows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reelwork.pipelines.stereo.video_worker", "--data", str(tmp_path)]
    ended = subprocess.run(
        command, env={**os.environ, "MODEL": "magic"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "MODEL: no stereo model is called 'magic'; there are: stub, shift, depth" in ended.stderr
