"""The program that downloads one video in a process of its own: `python download_child.py OPTIONS`.

OPTIONS is JSON: the address, the proxy through which everything must go, the folder to write to, and the limits. So is
the one line of the answer. Nothing but yt-dlp's own code runs here, and no other program: PATH is empty.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

MEMORY_BYTES = 4 * 1024**3
SOCKET_SECONDS = 30
ATTEMPTS = 2
HEIGHT_MAX = 1080
"""Frames are made smaller than that anyway; only a picture track is needed, so nothing has to be joined."""

FORMAT = f"bv*[height<={HEIGHT_MAX}]/b[height<={HEIGHT_MAX}]/wv*/w"


def limit(bytes_max: int) -> None:
    """The file may not grow beyond the limit, whatever becomes of the process that watches."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Log:
    """Keeps what yt-dlp complains about."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def debug(self, message: str) -> None:
        if "larger than max-filesize" in message:
            self.errors.append(message.strip().removeprefix("[download] "))

    info = warning = debug

    def error(self, message: str) -> None:
        self.errors.append(message)


def options(given: dict[str, Any], log: _Log) -> dict[str, Any]:
    return {
        "proxy": given["proxy"],
        "paths": {"home": given["folder"]},
        "outtmpl": {"default": "video.%(ext)s"},
        "format": FORMAT,
        "max_filesize": given["bytes_max"],
        "socket_timeout": SOCKET_SECONDS,
        "retries": ATTEMPTS,
        "fragment_retries": ATTEMPTS,
        "extractor_retries": ATTEMPTS,
        "skip_unavailable_fragments": False,
        "noplaylist": True,
        "playlist_items": "1:2",
        "external_downloader": {"default": "native"},
        "hls_prefer_native": True,
        "fixup": "never",
        "ffmpeg_location": os.path.join(given["folder"], "no-ffmpeg"),
        "js_runtimes": {"deno": {"path": given["deno"]}} if given["deno"] else {},
        "cachedir": False,
        "updatetime": False,
        "allow_unplayable_formats": False,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "color": {"stdout": "no_color", "stderr": "no_color"},
        "logger": log,
    }


def answer(given: dict[str, Any]) -> dict[str, str]:
    """`{"path", "title"}`, or `{"error"}`."""
    from yt_dlp import YoutubeDL
    from yt_dlp.utils import DownloadError

    log = _Log()
    try:
        with YoutubeDL(options(given, log)) as downloader:
            found = downloader.extract_info(given["url"], download=False)
            video = _only_video(found)
            if video is None:
                return {"error": "the address names a list of videos; give the address of each video"}
            if video.get("is_live") or video.get("live_status") in ("is_live", "is_upcoming"):
                return {"error": "this is live and has no end; give the address of a recording"}
            done = downloader.process_ie_result(video, download=True)
            path = (done.get("requested_downloads") or [{}])[0].get("filepath", "")
    except DownloadError as error:
        return {"error": str(error)}
    if not os.path.isfile(path):
        return {"error": "; ".join(log.errors) or "nothing was downloaded; the file may be larger than the limit"}
    return {"path": path, "title": str(video.get("title") or "")}


def _only_video(found: Any) -> dict[str, Any] | None:
    while isinstance(found, dict) and found.get("_type") in ("playlist", "multi_video"):
        entries = list(found.get("entries") or ())
        if len(entries) != 1:
            return None
        found = entries[0]
    return found if isinstance(found, dict) else None


def main() -> int:
    given = json.loads(sys.argv[1])
    limit(given["bytes_max"])
    print(json.dumps(answer(given)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
