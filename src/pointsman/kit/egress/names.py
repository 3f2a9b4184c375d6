"""Turns host names into addresses that may be connected to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from pointsman.kit.egress.addresses import Address, AllowList, belongs_to_this_host, is_public
from pointsman.kit.egress.errors import EgressRefused

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

_ABSENT = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME), getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME)}


class Resolver(Protocol):
    """Knows the addresses of names."""

    async def resolve(self, host: str) -> Sequence[str]:
        """All addresses of a name, best first; none where there is no such name. Raises OSError when that could not be found out."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class SystemResolver:
    """Asks the system, as every other program on this machine does.

    On threads of its own: a name server that hangs must not use up the threads that the rest of the process needs.
    """

    def __init__(self, threads: int = 8) -> None:
        """Hold at most so many threads."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="egress-names")

    async def resolve(self, host: str) -> Sequence[str]:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, _lookup, host)
        except socket.gaierror as error:
            if error.errno in _ABSENT:
                return ()
            raise
        return list(dict.fromkeys(found))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedNames:
    """What the HTTP client gets as its resolver: it only ever learns addresses that it may connect to."""

    def __init__(self, names: Resolver, allow: AllowList) -> None:
        """Check the answers of `names`."""
        self._names = names
        self._allow = allow

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        del family
        found = await self._names.resolve(host)
        permitted = [address for address in map(ip_address, found) if self._allow.has_name(host) or may_connect(address, self._allow)]
        if not permitted:
            raise no_public_address()
        return [_result(host, address, port) for address in permitted]

    async def close(self) -> None:
        await self._names.close()


def may_connect(address: Address, allow: AllowList) -> bool:
    """Whether a user's URL may lead to this address."""
    return allow.has_address(address) or (is_public(address) and not belongs_to_this_host(address))


def no_public_address() -> EgressRefused:
    """The same words for a name that does not exist and for an internal one: nobody maps a network with them."""
    return EgressRefused(
        "The URL's host has no public address.", hint="The operator can allow a host of the own network in POINTSMAN_EGRESS__ALLOW."
    )


def _lookup(host: str) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def _result(host: str, address: Address, port: int) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return {
        "hostname": host,
        "host": str(address),
        "port": port,
        "family": family,
        "proto": socket.IPPROTO_TCP,
        "flags": socket.AI_NUMERICHOST,
    }
