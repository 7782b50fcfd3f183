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


class Interrupted(ReelworkError):
    """A signal ended the command."""


class ServerUnreachable(ReelworkError):
    """No answer came from the server, or one that no Reelwork server gives."""


class NotFinished(ReelworkError):
    """What was asked for is there only when the job is over."""


EXIT_CODES = {
    PermanentError: ExitCode.BAD_INPUT,
    ConfigurationError: ExitCode.BAD_INPUT,
    JobNotFound: ExitCode.BAD_INPUT,
    JobTransitionRefused: ExitCode.BAD_INPUT,
    UploadTooLarge: ExitCode.BAD_INPUT,
    ServerUnreachable: ExitCode.UNREACHABLE,
    NotFinished: ExitCode.NOT_FINISHED,
    Interrupted: ExitCode.INTERRUPTED,
}


def exit_code_of(error: ReelworkError) -> ExitCode:
    """The exit status that an error ends a command with."""
    for kind, code in EXIT_CODES.items():
        if isinstance(error, kind):
            return code
    return ExitCode.FAILED
