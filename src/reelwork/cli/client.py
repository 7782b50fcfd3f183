"""Talks to a running server, and turns every way in which that can fail into one of our errors."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from reelwork.cli.configuration import load_config
from reelwork.cli.exit_code import ServerUnreachable
from reelwork.errors import ConfigurationError, JobNotFound, PermanentError

CONNECT_SECONDS_MAX: Final = 5.0
ANSWER_SECONDS_MAX: Final = 60.0
UPLOAD_ANSWER_SECONDS_MAX: Final = 600.0
"""The server looks through a video before it accepts it."""

LOOPBACK_WITHOUT_PROXY: Final = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}
OnSent = Callable[[float], None]


class Refused(PermanentError):
    """The server refused a request; the text is its reason."""


@contextlib.contextmanager
def server(url: str | None) -> Iterator[Client]:
    """The server at `url`, else at REELWORK_API_URL. Raises ConfigurationError for what is no address."""
    config = load_config()
    address = url or config.REELWORK_API_URL
    secret = config.REELWORK_API_TOKEN
    headers = {"Authorization": f"Bearer {secret.get_secret_value()}"} if secret else {}
    timeout = httpx.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
    try:
        http = httpx.Client(base_url=address, headers=headers, timeout=timeout, mounts=LOOPBACK_WITHOUT_PROXY)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{address!r} is not the address of a server: {error}") from error
    with http:
        yield Client(http)


class Client:
    """One method for each thing that a command asks. Answers are the API's own documents."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def submit(
        self, video: Path, fields: Mapping[str, str], *, idempotency_key: str | None, on_sent: OnSent
    ) -> dict[str, Any]:
        """Raises Refused with the reason why a video is not accepted. on_sent: hears the fraction that has gone out."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        with WatchedFile(video, on_sent) as file:
            return self._ask(
                "POST",
                "/video/submit",
                data=dict(fields),
                files={"file": (video.name, file, "application/octet-stream")},
                headers=headers,
                timeout=httpx.Timeout(UPLOAD_ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
            )

    def job(self, job_id: str) -> dict[str, Any]:
        """Raises JobNotFound."""
        return self._ask("GET", _job_path(job_id))

    def stages(self, job_id: str) -> dict[str, Any]:
        """The stages of a job and what keeps them open. Raises JobNotFound."""
        return self._ask("GET", f"{_job_path(job_id)}/stages")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Raises JobNotFound, Refused for a job that is over."""
        return self._ask("POST", f"{_job_path(job_id)}/cancel")

    def results(self, job_id: str) -> dict[str, Any]:
        """Raises JobNotFound while there are none."""
        return self._ask("GET", f"/video/results/{quote(job_id, safe='')}")

    def dead_letters(self, filters: Mapping[str, Any]) -> dict[str, Any]:
        """One page; `filters` as the API names them, without those that are None."""
        return self._ask("GET", "/dead-letters", params=_given(filters))

    def dead_letter(self, dead_letter_id: int) -> dict[str, Any]:
        """Raises JobNotFound where there is none."""
        return self._ask("GET", f"/dead-letters/{dead_letter_id}")

    def replay_batch(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Replays one batch of the letters that fit; says with `next` where another begins."""
        return self._ask("POST", "/dead-letters/replay", json=_given(order))

    def replay(self, dead_letter_id: int) -> dict[str, Any]:
        """Raises Refused for one that has been replayed already."""
        return self._ask("POST", f"/dead-letters/{dead_letter_id}/replay")

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        address = self._http.base_url
        try:
            response = self._http.request(method, path, **request)
        except httpx.UnsupportedProtocol as error:
            raise ConfigurationError(
                f"{str(address)!r} is not the address of a server: use http://host:port"
            ) from error
        except httpx.HTTPError as error:
            raise ServerUnreachable(
                f"no answer from {address}: {str(error) or type(error).__name__}; is `reelwork serve` running there?"
            ) from error
        return _checked(response)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _job_path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _checked(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except json.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or (response.is_error and "detail" not in document):
        raise ServerUnreachable(f"what answers at {response.url} ({response.status_code}) is no Reelwork server")
    if response.is_success:
        return document
    detail = str(document["detail"])
    if response.status_code in (401, 403):
        raise ConfigurationError(detail)
    if response.status_code == 404:
        raise JobNotFound(detail)
    if response.is_server_error:
        raise ServerUnreachable(f"the server cannot answer now: {detail}")
    raise Refused(detail)


class WatchedFile(io.BufferedReader):
    """A file that says which fraction of it has been read."""

    def __init__(self, path: Path, on_read: OnSent) -> None:
        super().__init__(io.FileIO(path))
        self._size_bytes = max(1, path.stat().st_size)
        self._on_read = on_read

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._on_read(self.tell() / self._size_bytes)
        return chunk
