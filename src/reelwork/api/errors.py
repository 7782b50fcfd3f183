"""Every error as one body, `{"detail": "<a sentence a person understands>"}`, with the status that fits its kind."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from reelwork.api.security import SECURITY_HEADERS
from reelwork.api.slots import RETRY_AFTER_SECONDS
from reelwork.errors import (
    ConfigurationError,
    JobNotFound,
    ObjectNotFound,
    PermanentError,
    ProbeLimitExceeded,
    ReelworkError,
    StoreUnavailable,
    UnsupportedMedia,
    UploadTooLarge,
)
from reelwork.runtime.dead_letters import DeadLetterNotFound

STATUS_BY_KIND: Final[tuple[tuple[type[ReelworkError], int], ...]] = (
    (JobNotFound, 404),
    (ObjectNotFound, 404),
    (DeadLetterNotFound, 404),
    (UploadTooLarge, 413),
    (StoreUnavailable, 503),
    (UnsupportedMedia, 415),
    (PermanentError, 400),
    (ProbeLimitExceeded, 400),
    (ConfigurationError, 400),
    (ReelworkError, 409),
)


def handle_errors(app: FastAPI) -> None:
    app.add_exception_handler(ReelworkError, _reelwork_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_exception_handler(Exception, _our_fault)


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, headers=headers)


def _reelwork_error(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUS_BY_KIND if isinstance(error, kind))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    return _answer(status, str(error), headers)


def _invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(400, "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors()))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    detail = error.detail
    if not isinstance(error, HTTPException):  # raised by the router, not by an endpoint
        detail = f"{request.method} {request.url.path} is not something this server does; /openapi.json says what is"
    return _answer(error.status_code, detail, dict(error.headers or {}))


def _client_gone(_: Request, __: Exception) -> Response:
    """Nobody reads it; without it the log would call a broken-off upload an error of ours."""
    return _answer(400, "the upload broke off before its end")


def _our_fault(_: Request, __: Exception) -> Response:
    """Answers outside all middleware, so it brings the headers along."""
    return _answer(500, "something went wrong inside the server; its log says more", dict(SECURITY_HEADERS))
