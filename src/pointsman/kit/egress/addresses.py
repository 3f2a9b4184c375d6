"""Which addresses are public, and which others the operator allowed."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from pointsman.kit.egress.errors import EgressAllowInvalid

Address = IPv4Address | IPv6Address

# Spelled out, because `ipaddress.is_global` changes its mind between Python's patch releases.
_V4_NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public; within a well-known cloud it is the machine's own control plane
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_V6_PUBLIC = IPv6Network("2000::/3")
_V6_NOT_PUBLIC = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # special purposes: Teredo, benchmarking, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4: a relay would unpack an IPv4 address of the caller's choice
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may reach this address; one that carries an IPv4 address is judged by that."""
    address = unwrapped(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _V4_NOT_PUBLIC)
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return False
    return address in _V6_PUBLIC and not any(address in network for network in _V6_NOT_PUBLIC)


def unwrapped(address: Address) -> Address:
    """The IPv4 address within a mapped or well-known NAT64 address, where that is where packets end; else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address


def belongs_to_this_host(address: Address) -> bool:
    """Whether a public address is the gateway's own: from here it would reach what a firewall hides from the internet.

    Connecting a datagram socket sends nothing; the kernel only picks the source address, which for an own address is that address.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:  # noqa: TID251 - egress is where sockets are allowed
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class AllowList:
    """The hosts and networks that the operator allowed although they are not public."""

    names: frozenset[str]
    domains: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def parse(cls, entries: Sequence[str]) -> AllowList:
        """Read names, `*.domain`, addresses and CIDR networks. Raises EgressAllowInvalid."""
        names: set[str] = set()
        domains: list[str] = []
        networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            network = _network(entry)
            if network is not None:
                networks.append(network)
            elif entry.startswith("*."):
                domains.append(_name(entry[2:], entry))
            else:
                names.add(_name(entry, entry))
        return cls(frozenset(names), tuple(domains), tuple(networks))

    def has_name(self, host: str) -> bool:
        """Whether this name is trusted wherever it resolves to."""
        return host in self.names or any(host.endswith(f".{domain}") for domain in self.domains)

    def has_address(self, address: Address) -> bool:
        """Whether this address lies in an allowed network."""
        return any(candidate in network for network in self.networks for candidate in {address, unwrapped(address)})


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry.strip("[]") if "/" not in entry else entry)
    except ValueError:
        return None


def _name(name: str, entry: str) -> str:
    lowered = name.lower().rstrip(".")
    labels = lowered.split(".")
    plain = all(label and len(label) <= 63 and label.replace("-", "").replace("_", "").isalnum() for label in labels)
    if not (plain and lowered.isascii()) or labels[-1].isdigit():
        raise EgressAllowInvalid(
            f"'{entry}' is no host name, address or network.",
            hint='Write entries like "files.internal", "*.corp.example", "10.1.2.3" or "10.1.0.0/16", without scheme and port.',
        )
    return lowered
