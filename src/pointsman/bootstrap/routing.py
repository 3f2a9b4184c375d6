"""Every route of the product; a slice with new ones adds its own line."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import BaseRoute

from pointsman.access import routes as access_routes
from pointsman.agents import routes as agent_routes
from pointsman.approvals import link_routes
from pointsman.approvals import routes as approval_routes
from pointsman.audit import routes as audit_routes
from pointsman.breakers import routes as breaker_routes
from pointsman.budgets import routes as budget_routes
from pointsman.chat import routes as chat_routes
from pointsman.credentials import connect_routes
from pointsman.credentials import routes as token_routes
from pointsman.erasure import routes as erasure_routes
from pointsman.execution import routes as execution_routes
from pointsman.execution.serving import routes as runner_routes
from pointsman.execution.workers import routes as worker_routes
from pointsman.jobs import routes as job_routes
from pointsman.knowledge import routes as knowledge_routes
from pointsman.llm import routes as model_routes
from pointsman.prompts import routes as prompt_routes
from pointsman.runs import routes as run_routes
from pointsman.schedules import routes as schedule_routes
from pointsman.sessions import routes as session_routes
from pointsman.skills import routes as skill_routes
from pointsman.teams import routes as team_routes
from pointsman.tools import routes as tool_routes
from pointsman.tools.mcp import routes as mcp_routes
from pointsman.tools.openapi import routes as openapi_routes
from pointsman.usage import routes as usage_routes
from pointsman.webhooks import routes as webhook_routes


def routers() -> list[APIRouter | BaseRoute]:
    """All of them, in the order in which they are matched."""
    return [
        prompt_routes.router,
        skill_routes.router,
        agent_routes.router,
        team_routes.router,
        *chat_routes.routes,
        run_routes.router,
        *run_routes.routes,
        job_routes.router,
        *job_routes.routes,
        session_routes.router,
        usage_routes.router,
        budget_routes.router,
        token_routes.router,
        connect_routes.router,
        *connect_routes.routes,
        access_routes.router,
        approval_routes.router,
        *link_routes.routes,
        audit_routes.router,
        model_routes.router,
        tool_routes.router,
        mcp_routes.router,
        openapi_routes.router,
        execution_routes.router,
        erasure_routes.router,
        *erasure_routes.routes,
        worker_routes.router,
        breaker_routes.router,
        runner_routes.router,
        *runner_routes.routes,
        schedule_routes.router,
        webhook_routes.router,
        knowledge_routes.router,
        *knowledge_routes.routes,
    ]
