"""The only way out to URLs that users supplied: public addresses and what the operator allowed, nothing else."""

from pointsman.kit.egress.client import Egress, Fetched
from pointsman.kit.egress.errors import (
    EgressAllowInvalid,
    EgressFailed,
    EgressMediaTypeRefused,
    EgressRefused,
    EgressTimeout,
    EgressTooLarge,
)
from pointsman.kit.egress.names import Resolver, SystemResolver

__all__ = [
    "Egress",
    "EgressAllowInvalid",
    "EgressFailed",
    "EgressMediaTypeRefused",
    "EgressRefused",
    "EgressTimeout",
    "EgressTooLarge",
    "Fetched",
    "Resolver",
    "SystemResolver",
]
