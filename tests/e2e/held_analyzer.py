"""An analyzer that comes to its first frame, says so, and never gets past it: no test needs to be quick or to sleep."""

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
        with open(os.environ["HELD_ARRIVALS"], "wb") as arrivals:
            arrivals.write(b"!")
        open(os.environ["HELD_GATE"], "rb").close()  # nobody ever opens the other end
        return Nothing()
"""


class Gate:
    """Installs the analyzer `held` in a folder; `environment` makes it known to a process."""

    def __init__(self, folder: Path) -> None:
        self._arrivals, gate = folder / "arrivals", folder / "gate"
        os.mkfifo(self._arrivals)
        os.mkfifo(gate)
        (folder / "held.py").write_text(MODULE)
        metadata = folder / "held-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: held\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[reelwork.analyzers]\nheld = held:Held\n")
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment: Mapping[str, str] = {
            "PYTHONPATH": os.pathsep.join(paths),
            "HELD_ARRIVALS": str(self._arrivals),
            "HELD_GATE": str(gate),
        }

    def wait_for_arrival(self) -> None:
        """Returns when a worker has come to the gate, where it stays."""
        assert self._arrivals.read_bytes()
