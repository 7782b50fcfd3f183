"""An analyzer that waits in the middle of its work until its test lets it go: no test needs to be quick or to sleep."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MODULE = """
import os
from pydantic import BaseModel
from reelwork.pipelines.analyze.analyzers import FrameAnalyzer

class Nothing(BaseModel):
    pass

class Held(FrameAnalyzer[Nothing]):
    name = "held"
    result = Nothing

    def analyze(self, frame):
        open(os.environ["HELD_GATE"], "rb").close()
        return Nothing()
"""


class Gate:
    """Installs the analyzer `held` in a folder; `environment` makes it known to a process."""

    def __init__(self, folder: Path) -> None:
        self._fifo = folder / "gate"
        os.mkfifo(self._fifo)
        (folder / "held.py").write_text(MODULE)
        metadata = folder / "held-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: held\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[reelwork.analyzers]\nheld = held:Held\n")
        self.environment: Mapping[str, str] = {"PYTHONPATH": str(folder), "HELD_GATE": str(self._fifo)}

    def let_one_frame_pass(self) -> None:
        """Returns when a worker has come to the gate, and is let go."""
        self._fifo.open("wb").close()
