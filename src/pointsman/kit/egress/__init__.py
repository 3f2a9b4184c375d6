"""The only way out: users' URLs reach public addresses and what the operator allowed, nothing else; operators' own are trusted."""

from pointsman.kit.egress.bodies import is_unpacked
from pointsman.kit.egress.channel import Channels, Opened
from pointsman.kit.egress.client import Egress, Fetched, Streamed
from pointsman.kit.egress.errors import (
    EgressAllowInvalid,
    EgressFailed,
    EgressMediaTypeRefused,
    EgressNotReached,
    EgressRefused,
    EgressTimeout,
    EgressTooLarge,
)
from pointsman.kit.egress.names import Resolver, SystemResolver
from pointsman.kit.egress.trusted import Answer, Trusted

__all__ = [
    "Answer",
    "Channels",
    "Egress",
    "EgressAllowInvalid",
    "EgressFailed",
    "EgressMediaTypeRefused",
    "EgressNotReached",
    "EgressRefused",
    "EgressTimeout",
    "EgressTooLarge",
    "Fetched",
    "Opened",
    "Resolver",
    "Streamed",
    "SystemResolver",
    "Trusted",
    "is_unpacked",
]
