"""Whether a namespace's NetworkPolicies leave pods without a network, read as the cluster's network plugin reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BOTH = {"Ingress", "Egress"}


def deny_all(policies: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    """Whether pods with these labels are cut off in both directions and no policy allows anything: what one allows none takes back."""
    applied = [policy["spec"] for policy in policies if _selects(policy["spec"].get("podSelector") or {}, labels)]
    cut: set[str] = set()
    for spec in applied:
        cut |= set(_types(spec))
    return cut >= _BOTH and not any(spec.get("ingress") or spec.get("egress") for spec in applied)


def _types(spec: Mapping[str, Any]) -> Sequence[str]:
    """Where a policy does not say in which directions it holds: inwards, and outwards where it has rules for that."""
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    expressions: Sequence[Mapping[str, Any]] = selector.get("matchExpressions") or []
    return all(labels.get(name) == value for name, value in wanted.items()) and all(_holds(one, labels) for one in expressions)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values: Sequence[str] = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:  # DoesNotExist
            return value is None
