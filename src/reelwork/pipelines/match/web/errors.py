"""What can be wrong with an address or with what lies behind it. Only one of these is worth trying again."""

from __future__ import annotations

from reelwork.errors import PermanentError, ReelworkError


class DownloadRefused(PermanentError):
    """An address cannot be used, or answers with something else than was asked for; the text says what to do.

    status: the HTTP status that said so, if one did.
    """

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class AddressRefused(DownloadRefused):
    """An address leads into a network that is not public and not allowed."""


class DownloadTooLarge(DownloadRefused):
    """A download is larger, or takes longer, than its limit."""


class DownloadUnavailable(ReelworkError):
    """A server does not answer, or asks to come again later; trying again may help.

    retry_after_seconds: what the server asked for, if it did.
    """

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
