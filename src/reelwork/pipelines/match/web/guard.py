"""Decides which addresses a job may reach: a URL that a user gives must not lead into the network of the worker.

A name is resolved once for each connection, and the connection goes to the very address that was checked: asking again
could give another answer ("DNS rebinding").
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from reelwork.errors import ConfigurationError
from reelwork.pipelines.match.web.errors import AddressRefused, DownloadRefused, DownloadUnavailable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to numeric addresses; raises socket.gaierror."""

SETTING = "REELWORK_ALLOWED_NETWORKS"
URL_LENGTH_MAX = 2_000
SHOWN_LENGTH = 200

_ADDRESS = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]*://)(?:[^\s/?#@]*@)?(?P<place>[^\s?#'\"<>]*)(?P<query>[?#][^\s'\"<>]*)?",
    re.IGNORECASE,
)
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052, 2.1
_NAT64_LOCAL = ip_network("64:ff9b:1::/48")  # RFC 8215


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks and addresses joined by commas. ConfigurationError for anything else."""
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"{SETTING} must be networks or addresses joined by commas, like 10.0.0.0/8,192.168.1.7: {error}"
        ) from error


def is_public(address: Address) -> bool:
    """Whether an address is reachable for everyone; one that carries another inside is judged by that too.

    IANA's registries of special addresses (RFC 6890), by way of Python's `ipaddress`.
    """
    if not address.is_global or address.is_multicast or address in _NAT64_LOCAL:
        return False
    return all(is_public(inside) for inside in _addresses_inside(address))


def _addresses_inside(address: Address) -> list[Address]:
    """The IPv4 address that an IPv6 address is translated or tunnelled to; Teredo's are not global anyway."""
    if not isinstance(address, IPv6Address):
        return []
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFF_FFFF)]
    return [address.sixtofour] if address.sixtofour is not None else []


def shown(url: str) -> str:
    """A URL for an error's text: without a password or a query, which may hold a token, and not endless."""
    address = without_secrets(url)
    return address if len(address) <= SHOWN_LENGTH else f"{address[:SHOWN_LENGTH]}..."


def without_secrets(text: str) -> str:
    """A text with `?...` for the query of each address in it, and without passwords."""
    return _ADDRESS.sub(lambda found: f"{found['before']}{found['place']}{'?...' if found['query'] else ''}", text)


async def resolve(host: str, port: int) -> list[str]:
    """What the system says of a name; numbers in any notation too."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class UrlGuard:
    """Public addresses and the allowed networks may be reached, and nothing else."""

    def __init__(self, allowed: Sequence[Network] = (), *, resolver: Resolver = resolve) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolver

    def check_url(self, url: str) -> None:
        """Refuses, before anything is asked, what is no http or https address. DownloadRefused."""
        try:
            parts = urlsplit(url)
            has_host = bool(parts.hostname) and parts.port != 0
        except ValueError:
            has_host, parts = False, urlsplit("")
        if not has_host or parts.scheme not in ("http", "https") or len(url) > URL_LENGTH_MAX:
            raise DownloadRefused(
                f"{shown(url)!r} is not an address that can be downloaded; give one like https://host/path"
            )

    async def addresses(self, host: str, port: int) -> list[str]:
        """The numeric addresses of a host to which a connection may go; at least one.

        AddressRefused when there are only others, DownloadRefused when there are none at all.
        """
        try:
            found = await self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise DownloadUnavailable(f"the name {host} cannot be resolved just now: {error.strerror}") from error
            raise DownloadRefused(f"there is no host {host}: {error.strerror}; check the address") from error
        except (UnicodeError, ValueError) as error:
            raise DownloadRefused(f"{host!r:.80} is not the name of a host; check the address") from error
        open_ones = [address for address in found if self._may_reach(address)]
        if not open_ones:
            raise AddressRefused(
                f"{host} leads to {', '.join(found)}, which is not a public address; "
                f"where that is meant, add it to {SETTING}"
            )
        return open_ones

    def _may_reach(self, text: str) -> bool:
        address = ip_address(text.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        judged = mapped or address
        return is_public(judged) or any(judged in network for network in self._allowed)
