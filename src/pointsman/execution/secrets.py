"""Where the secrets that configs name are looked up."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from pointsman.execution.errors import TargetFailed
from pointsman.execution.grants import SecretRef

Secrets = Mapping[str, SecretStr]


def reveal(reference: SecretRef, secrets: Secrets) -> str:
    """The secret that a config names. Raises TargetFailed where the operator has set none of this name."""
    held = secrets.get(reference.secret.lower())
    if held is None:
        variable = f"POINTSMAN_SECRETS__{reference.secret.upper()}"
        raise TargetFailed(f"The config names the secret {reference.secret!r}, which is not set here.", hint=f"Set {variable}.")
    return held.get_secret_value()
