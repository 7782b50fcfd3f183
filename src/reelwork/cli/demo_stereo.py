"""The third part of the demo: the clip in 3D, and some of its pictures beside those it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reelwork.media import build_frame_index, decode_frames
from reelwork.vision.opencv import Picture, cv2

if TYPE_CHECKING:
    from reelwork.cli.embedded_stereo import FinishedStereo
    from reelwork.settings import Config

PARAMETERS: Final[dict[str, Any]] = {"mode": "anaglyph", "model": "depth", "segment_seconds": 1.5}
PICTURES: Final = 3


def make_3d(config: Config, video: Path, output: Path, *, workers: int, lines_instead: bool) -> FinishedStereo:
    """Writes 3d.mp4 and 3d.png into the folder."""
    from reelwork.cli.embedded_stereo import stereo_embedded
    from reelwork.cli.phase_bars import phase_bars

    with phase_bars(lines_instead=lines_instead) as show:
        finished = stereo_embedded(config, video, PARAMETERS, output=output / "3d.mp4", workers=workers, show=show)
    cv2.imwrite(str(output / "3d.png"), beside_each_other(video, output / "3d.mp4"))
    return finished


def beside_each_other(source: Path, made: Path) -> Picture:
    """Some frames of the source on the left, of the 3D video on the right."""
    columns = [np.vstack(_some_frames(path)) for path in (source, made)]
    return np.hstack(columns)


def _some_frames(path: Path) -> list[Picture]:
    index = build_frame_index(path)
    numbers = [len(index) * (2 * place + 1) // (2 * PICTURES) for place in range(PICTURES)]
    return [frame.bgr for number in numbers for frame in decode_frames(path, index, range(number, number + 1))]
