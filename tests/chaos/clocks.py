"""The clock of one machine, set wrong while its processes run: a small library steps what they read as the time of day,
as a machine's time daemon would, and leaves their monotonic clocks alone.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("clock.c")
ADDRESS: Final = "REELWORK_CHAOS_CLOCK"


def unavailable() -> str | None:
    """Why clocks cannot be set wrong here; None where they can."""
    return None if shutil.which("cc") else "needs cc, a C compiler"


@dataclass(frozen=True)
class Clock:
    """Of all processes with these settings."""

    path: Path
    library: Path

    @classmethod
    def made_in(cls, folder: Path) -> Clock:
        clock = cls(folder / "clock", folder / "clock.so")
        clock.path.write_bytes(_told(0))
        compiling = ["cc", "-shared", "-fPIC", "-O2", "-o", clock.library, SOURCE, "-ldl"]
        subprocess.run(compiling, check=True)
        return clock

    @property
    def settings(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self.library), ADDRESS: str(self.path)}

    def set_wrong(self, seconds: int) -> None:
        """By so many seconds: ahead, or back where negative; 0 sets it right."""
        with self.path.open("r+b") as file:
            file.write(_told(seconds))


def _told(seconds: int) -> bytes:
    return struct.pack("q", seconds)
