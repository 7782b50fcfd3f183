"""`reelwork stereo` as a person runs it: a clip with sound in, and a 3D one out that a player can play."""

from __future__ import annotations

from pathlib import Path

import av

from tests.clips import write_clip
from tests.e2e.commands import reelwork


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
