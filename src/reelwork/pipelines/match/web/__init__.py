"""The way to the outside: every download of this pipeline goes through the guard in here, and has limits."""

from reelwork.pipelines.match.web.errors import AddressRefused, DownloadRefused, DownloadTooLarge, DownloadUnavailable
from reelwork.pipelines.match.web.fetch import Fetched, Fetcher, Limits
from reelwork.pipelines.match.web.guard import UrlGuard
from reelwork.pipelines.match.web.html import looks_like_html
from reelwork.pipelines.match.web.proxy import GuardProxy

__all__ = [
    "AddressRefused",
    "DownloadRefused",
    "DownloadTooLarge",
    "DownloadUnavailable",
    "Fetched",
    "Fetcher",
    "GuardProxy",
    "Limits",
    "UrlGuard",
    "looks_like_html",
]
