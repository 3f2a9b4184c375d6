"""What can go wrong on the way out. No message tells what a name resolved to or why an internal host answered."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class EgressRefused(Problem):
    """The URL may not be fetched: it is malformed, not http(s), or its host has no public address.

    The gateway only connects to public addresses on a user's behalf, redirects included. Write the host as a plain name or a canonical
    address, without credentials. For a host within your network, the operator names it in `POINTSMAN_EGRESS__ALLOW`.
    """

    kind = Kind.INVALID
    code = "egress-refused"
    title = "The URL may not be fetched"


class EgressMediaTypeRefused(Problem):
    """The URL answered with a kind of document that is not taken here. The detail names the media type that came."""

    kind = Kind.INVALID
    code = "egress-media-type"
    title = "The URL serves another kind of document"


class EgressTooLarge(Problem):
    """The URL answered with more bytes than are taken here, counted as sent and again as unpacked."""

    kind = Kind.INVALID
    code = "egress-too-large"
    title = "The document behind the URL is too large"


class EgressFailed(Problem):
    """The URL's host could not be reached, or gave no usable answer: refused, cut off, not HTTP, an untrusted certificate, an error.

    Open the URL yourself to see whether it works; if it does, send the request again.
    """

    kind = Kind.UPSTREAM
    code = "egress-failed"
    title = "The URL could not be fetched"


class EgressNotReached(EgressFailed):
    """The URL's host could not be looked up, connected to or trusted, so nothing was sent to it.

    Open the URL yourself to see whether it works; if it does, send the request again.
    """

    code = "egress-not-reached"
    title = "The URL's host was not reached"


class EgressTimeout(Problem):
    """The URL's host did not answer in full within the time that is granted here."""

    kind = Kind.UPSTREAM_TIMEOUT
    code = "egress-timeout"
    title = "The URL took too long"


class EgressAllowInvalid(Problem):
    """An entry of `POINTSMAN_EGRESS__ALLOW` is neither a host name, `*.` and a domain, an address nor a CIDR network."""

    kind = Kind.INVALID
    code = "egress-allow-invalid"
    title = "The list of allowed hosts is not valid"
