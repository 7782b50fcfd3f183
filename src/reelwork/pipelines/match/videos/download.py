"""Downloads the video behind an address with yt-dlp, in a process of its own that goes through the guard's proxy.

That process gets no secret of this one, runs no other program, and ends with its limits of time and size.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from reelwork.errors import ConfigurationError
from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.videos import download_child
from reelwork.pipelines.match.web import (
    DownloadRefused,
    DownloadTooLarge,
    DownloadUnavailable,
    GuardProxy,
    Limits,
    looks_like_html,
)
from reelwork.pipelines.match.web.guard import shown, without_secrets
from reelwork.pipelines.match.web.html import HEAD_BYTES

KEPT_VARIABLES: Final = ("PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")
OVERHEAD_BYTES: Final = 64 * 1024**2
"""What may come through the proxy beyond the video itself: pages, playlists, what was asked for in vain."""

TRY_AGAIN_SIGNS: Final = ("timed out", "HTTP Error 5", "HTTP Error 429", "Connection reset", "Bad Gateway")
REASON_LENGTH: Final = 300


@contextmanager
def downloaded_video(url: str, access: Access) -> Iterator[Path]:
    """A file with the video behind an address, gone after the block; whether it can be decoded is not known yet.

    AddressRefused, DownloadRefused, DownloadTooLarge; DownloadUnavailable where trying again may help.
    """
    access.fetcher.guard.check_url(url)
    if find_spec("yt_dlp") is None:
        raise ConfigurationError("videos at addresses need yt-dlp; install it with: pip install 'reelwork[match]'")
    limits = access.video_limits
    with TemporaryDirectory(prefix="reelwork-download-") as folder:
        with GuardProxy(access.fetcher.guard, bytes_max=limits.bytes_max + OVERHEAD_BYTES) as proxy:
            answer = _run_child(url, proxy.url, Path(folder), limits)
        if proxy.refusal is not None:
            raise proxy.refusal
        if "error" in answer:
            raise _error(url, answer["error"])
        path = Path(answer["path"])
        with path.open("rb") as file:
            if looks_like_html(file.read(HEAD_BYTES)):
                raise DownloadRefused(f"{shown(url)} answered with a web page (HTML), not a video; check the address")
        yield path


def _run_child(url: str, proxy_url: str, folder: Path, limits: Limits) -> dict[str, Any]:
    options = {
        "url": url,
        "proxy": proxy_url,
        "folder": str(folder),
        "bytes_max": limits.bytes_max,
        "deno": shutil.which("deno"),
    }
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    try:
        finished = subprocess.run(
            [sys.executable, "-P", download_child.__file__, json.dumps(options)],
            cwd=folder,
            env=environment | {"PATH": "", "HOME": str(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.seconds_max,
            check=False,
            process_group=0,  # Ctrl-C in a terminal is for its parent
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadTooLarge(
            f"{shown(url)} was not finished after {limits.seconds_max:g} s and was stopped; "
            "REELWORK_DOWNLOAD_SECONDS is the limit"
        ) from error
    try:
        answer: dict[str, Any] = json.loads(finished.stdout)
    except ValueError:
        said = finished.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DownloadUnavailable(
            f"{shown(url)}: yt-dlp ended with {finished.returncode}: {without_secrets(' '.join(said))}"
        ) from None
    return answer


def _error(url: str, said: str) -> DownloadRefused | DownloadUnavailable:
    reason = f"{shown(url)}: {without_secrets(said).removeprefix('ERROR: ')[:REASON_LENGTH]}"
    if "Unsupported URL" in said:
        return DownloadRefused(f"{shown(url)} answered with a web page (HTML) in which yt-dlp finds no video")
    if "larger than" in said or "File too large" in said:
        return DownloadTooLarge(f"{reason}; REELWORK_DOWNLOAD_MAX_BYTES is the limit")
    if any(sign in said for sign in TRY_AGAIN_SIGNS):
        return DownloadUnavailable(reason)
    return DownloadRefused(reason)
