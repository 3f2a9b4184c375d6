"""The only way out: users' URLs reach public addresses and what the operator allowed, nothing else; operators' own are trusted."""

from pointsman.kit.egress.client import Egress, Fetched, Streamed
from pointsman.kit.egress.errors import (
    EgressAllowInvalid,
    EgressFailed,
    EgressMediaTypeRefused,
    EgressRefused,
    EgressTimeout,
    EgressTooLarge,
)
from pointsman.kit.egress.names import Resolver, SystemResolver
from pointsman.kit.egress.trusted import Answer, Trusted

__all__ = [
    "Answer",
    "Egress",
    "EgressAllowInvalid",
    "EgressFailed",
    "EgressMediaTypeRefused",
    "EgressRefused",
    "EgressTimeout",
    "EgressTooLarge",
    "Fetched",
    "Resolver",
    "Streamed",
    "SystemResolver",
    "Trusted",
]
