"""Structured logs on standard error: one line an event, named `reelwork.noun.verb`, with job, stage and asset ids."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_log(level: str) -> None:
    """level: debug, info, warning or error. JSON where nobody is watching, colours on a terminal."""
    on_terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([] if on_terminal else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(level.upper(), 20)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
