"""A real browser that is told to play a video, and tells what came of it."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kept_server import demand
from tests.web_server import Answer, Request, web_server

CHROMIUM: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")
SECONDS_MAX: Final = 60.0
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
PAGE: Final = """<!doctype html><video src="%s" preload="auto"></video><script>
const video = document.querySelector("video"), told = {};
const tell = () => fetch("/told", {method: "POST", body: JSON.stringify(told)});
const when = (name) => new Promise((go) => video.addEventListener(name, go, {once: true}));
const reach = async (time) => { while (video.currentTime < time) await when("timeupdate"); };
video.addEventListener("error", () => { told.error = video.error.message || `code ${video.error.code}`; tell(); });
(async () => {
  await video.play();
  Object.assign(told, {seconds: video.duration, width: video.videoWidth, height: video.videoHeight});
  await reach(Math.min(1, video.duration / 3));
  told.playedTo = video.currentTime;
  for (const part of [0.8, 0.3]) {
    video.currentTime = part * video.duration;
    await when("seeked");
    const from = video.currentTime;
    await reach(from + 0.1);
    told[`from ${part}`] = [from, video.currentTime];
  }
  video.currentTime = video.duration - 0.3;
  await when("ended");
  Object.assign(told, {endedAt: video.currentTime, soundBytes: video.webkitAudioDecodedByteCount,
    frames: video.getVideoPlaybackQuality().totalVideoFrames});
  tell();
})().catch((problem) => { told.error = `${problem}`; tell(); });
</script>"""


def played(url: str, folder: Path) -> dict[str, Any]:
    """What the page says of a video that it has played, sought in, and played to its end; `error` if it could not."""
    demand([] if CHROMIUM else ["chromium"])
    assert CHROMIUM is not None
    told: queue.Queue[bytes] = queue.Queue()

    def hear(request: Request) -> Answer:
        told.put(request.body)
        return Answer(b"heard")

    with web_server() as server, (folder / "browser.log").open("wb") as log:
        server.routes["/told"] = hear
        page = server.serve("/page", (PAGE % url).encode(), "text/html; charset=utf-8")
        browser = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", page],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            process_group=0,
        )
        try:
            answer: dict[str, Any] = json.loads(told.get(timeout=SECONDS_MAX))
            return answer
        except queue.Empty:
            pytest.fail(f"the browser said nothing: {(folder / 'browser.log').read_text(errors='replace')[-2000:]}")
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
