"""What `reelwork stereo` and the demo say of a video that was made."""

from __future__ import annotations

from collections.abc import Iterator

from reelwork.cli.embedded_stereo import FinishedStereo


def stereo_view(finished: FinishedStereo) -> Iterator[str]:
    account = finished.account
    yield (
        f"{account['frames']} frames in {finished.segments} segments, {account['seconds']:.1f} s, "
        f"{account['sound_packets']} packets of sound."
    )
    if not account["is_converted"]:
        yield f"Model {account['model']} converts nothing: the pictures are those of the source."
