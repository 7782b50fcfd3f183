"""Submits a small video to a running server and insists on `completed`: the last step of a deployment."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time

import av
import httpx
import numpy as np

DEADLINE_SECONDS = 120.0
POLL_SECONDS = 0.5
FRAMES = 48


def clip() -> bytes:
    """Two seconds of a moving gradient."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(FRAMES):
            picture = np.roll(np.tile(np.arange(160, dtype=np.uint8), (96, 1)), number * 3, axis=1)
            frame = av.VideoFrame.from_ndarray(np.dstack([picture] * 3), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def smoke(url: str, token: str | None) -> str | None:
    """What went wrong, or None."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        form = {"pipeline_id": "quality"}
        submitted = client.post("/video/submit", data=form, files={"file": ("smoke.mp4", clip(), "video/mp4")})
        if submitted.status_code != 200:
            return f"submit answered {submitted.status_code}: {submitted.text}"
        job_id = submitted.json()["job_id"]
        status = _final_status(client, job_id)
        if status != "completed":
            return f"job {job_id} is {status}, not completed"
        results = client.get(f"/video/results/{job_id}").raise_for_status().json()["results"]
        if len(results) != FRAMES:
            return f"job {job_id} has {len(results)} results, not {FRAMES}"
    print(f"job {job_id} completed with {FRAMES} results")
    return None


def _final_status(client: httpx.Client, job_id: str) -> str:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        status: str = client.get(f"/video/status/{job_id}").raise_for_status().json()["status"]
        if status in ("completed", "failed") or time.monotonic() >= deadline:
            return status
        time.sleep(POLL_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        problem = smoke(arguments.url, os.environ.get("REELWORK_API_TOKEN"))
    except httpx.HTTPError as error:
        problem = f"{arguments.url} does not answer as it should: {error}"
    if problem:
        print(f"smoke: {problem}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main())
