"""One strict reading of a URL; what cannot be read in exactly one way is refused rather than guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

import idna

from pointsman.kit.egress.addresses import Address
from pointsman.kit.egress.errors import EgressRefused

MAX_LENGTH = 8192

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?")
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@%]+)(?::(?P<port>[0-9]{1,5}))?")
# Control characters, blanks and backslashes are where readers of URLs disagree with each other.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Services in which a line of HTTP could do harm; browsers refuse most of these ports too
# (https://fetch.spec.whatwg.org/#port-blocking).
# fmt: off
_REFUSED_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113,
    115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563,
    587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080, 11211,
))
# fmt: on


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points: a name in ASCII or, if it was written as one, an address."""

    scheme: str
    host: str
    port: int
    path_and_query: str
    address: Address | None

    @property
    def url(self) -> str:
        """The one spelling that is sent and followed from; fragments are gone."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path_and_query}"


def parse_url(url: str) -> Target:
    """Read an absolute http(s) URL. Raises EgressRefused."""
    if len(url) > MAX_LENGTH:
        raise EgressRefused(f"The URL is longer than {MAX_LENGTH} characters.")
    if _AMBIGUOUS.search(url):
        raise EgressRefused("The URL contains a blank, a backslash or a control character.", hint="Percent-encode it.")
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise EgressRefused("The URL is not absolute.", hint="Write it as https://host/path.")
    scheme = shape["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise EgressRefused("Only http and https URLs are fetched.")
    host, port = _host_and_port(shape["authority"], _DEFAULT_PORTS[scheme])
    path_and_query = quote((shape["path"] or "/") + (shape["query"] or ""), safe="/?:@!$&'()*+,;=%-._~[]|")
    return Target(scheme, host, port, path_and_query, _address(host))


def follow_url(target: Target, location: str) -> Target:
    """Read the `Location` of a redirect, relative ones too. Raises EgressRefused."""
    if _AMBIGUOUS.search(location):
        raise EgressRefused("The URL redirects to something that is no URL.")
    if _HAS_SCHEME.match(location):
        return parse_url(location)
    try:
        return parse_url(urljoin(target.url, location))
    except ValueError:
        raise EgressRefused("The URL redirects to something that is no URL.") from None


def _host_and_port(authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise EgressRefused("The URL contains credentials.", hint="Remove the part before the @.")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise EgressRefused("The URL's host or port cannot be read.")
    port = int(parts["port"]) if parts["port"] else default_port
    if port > 65535 or port in _REFUSED_PORTS:
        raise EgressRefused(f"Port {port} is not fetched from.")
    return _host(parts["host"]), port


def _host(written: str) -> str:
    if written.startswith("["):
        try:
            return str(IPv6Address(written[1:-1]))
        except ValueError:
            raise EgressRefused("The URL's host is no IPv6 address.") from None
    name = _ascii(written).removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise EgressRefused("The URL's host is no host name.")
    return name


def _ascii(written: str) -> str:
    """Lower case, with other scripts in punycode: full-width digits and dots come out as plain ones, and are then looked at as such."""
    if written.isascii():
        return written.lower()
    try:
        return idna.encode(written, uts46=True, std3_rules=True).decode().lower()
    except UnicodeError:
        raise EgressRefused("The URL's host is no host name.") from None


def _address(host: str) -> Address | None:
    if ":" in host:
        return IPv6Address(host)
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    # A name that ends in a number is an IPv4 address to whoever connects: short, octal, hexadecimal and whole-number forms as well.
    try:
        return IPv4Address(host)
    except ValueError:
        raise EgressRefused("The URL's host is no canonical IPv4 address.", hint="Write it as four decimal numbers.") from None
