"""What the exit status of a command tells a script; every command keeps to these."""

from __future__ import annotations

from enum import IntEnum

from reelwork.errors import (
    ConfigurationError,
    JobNotFound,
    JobTransitionRefused,
    PermanentError,
    ReelworkError,
    UploadTooLarge,
)


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    NOT_FINISHED = 4
    INTERRUPTED = 130


EXIT_CODES_HELP = (
    "Exit status: 0 done; 1 the job failed or was cancelled, or something broke; 2 bad input or usage; "
    "3 the server cannot be reached; 4 the job is not finished yet; 130 interrupted."
)


class JobEndedBadly(ReelworkError):
    """A job failed or was cancelled; the text is its reason."""


class ServerUnreachable(ReelworkError):
    """No answer came from the server, or one that no Reelwork server gives."""


class NotFinished(ReelworkError):
    """What was asked for is there only when the job is over."""


BAD_INPUT = (PermanentError, ConfigurationError, JobNotFound, JobTransitionRefused, UploadTooLarge)


def exit_code_of(error: ReelworkError) -> ExitCode:
    """The exit status that an error ends a command with."""
    if isinstance(error, ServerUnreachable):
        return ExitCode.UNREACHABLE
    if isinstance(error, NotFinished):
        return ExitCode.NOT_FINISHED
    return ExitCode.BAD_INPUT if isinstance(error, BAD_INPUT) else ExitCode.FAILED
