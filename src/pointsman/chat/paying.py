"""Who pays for what a run's models cost."""

from __future__ import annotations

from pointsman.budgets.rows import Payer
from pointsman.chat.facts import RunFacts


def payer_of(facts: RunFacts) -> Payer:
    """Whose budgets the run's model calls count against: a member's own as an agent, and its caller's."""
    return Payer(facts.tenant_id, facts.agent_id, facts.user_id, facts.key_id)
