"""All metadata in one import, for migrations and for the test that holds it against the schema's document."""

from __future__ import annotations

from pointsman.access import models as access
from pointsman.agents import models as agents
from pointsman.approvals import models as approvals
from pointsman.audit import models as audit
from pointsman.breakers import models as breakers
from pointsman.budgets import models as budgets
from pointsman.credentials import models as credentials
from pointsman.erasure import models as erasure
from pointsman.execution import models as execution
from pointsman.jobs import models as jobs
from pointsman.kit.orm import Base
from pointsman.knowledge import models as knowledge
from pointsman.prompts import models as prompts
from pointsman.retention import models as retention
from pointsman.runs import models as runs
from pointsman.schedules import models as schedules
from pointsman.sessions import models as sessions
from pointsman.skills import models as skills
from pointsman.supervision import models as supervision
from pointsman.teams import models as teams
from pointsman.tools import models as tools
from pointsman.tools.mcp import models as mcp
from pointsman.tools.openapi import models as openapi_tools
from pointsman.usage import models as usage
from pointsman.web import models as web
from pointsman.webhooks import models as webhooks

METADATA = Base.metadata
SLICES = (
    access,
    agents,
    approvals,
    audit,
    breakers,
    budgets,
    credentials,
    erasure,
    execution,
    jobs,
    knowledge,
    mcp,
    openapi_tools,
    prompts,
    retention,
    runs,
    schedules,
    sessions,
    skills,
    supervision,
    teams,
    tools,
    usage,
    web,
    webhooks,
)
