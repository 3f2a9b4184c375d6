"""What the gateway answers with, as the type checker sees it; nothing is checked while the program runs."""

from __future__ import annotations

from typing import Any, TypedDict


class SkillItem(TypedDict):
    """A skill in a list, without its texts."""

    id: str
    name: str
    description: str | None
    category: str | None
    allowed_tools: list[str]
    tags: list[str]
    version: int
    created_at: str
    updated_at: str
    is_active: bool


class SkillFile(TypedDict):
    """A file of a skill: `path` below its folder, `size` in bytes."""

    path: str
    size: int
    sha256: str
    executable: bool


class Skill(SkillItem):
    """A skill at its newest version; `references` and `scripts` are `{name, content}`."""

    instructions: str
    references: list[dict[str, str]]
    scripts: list[dict[str, str]]
    license: str | None
    compatibility: str | None
    metadata: dict[str, str]
    files: list[SkillFile]


class SkillVersionItem(TypedDict):
    """A version of a skill in a list, without its texts."""

    skill_id: str
    version: int
    name: str
    description: str | None
    created_at: str
    created_by: str | None


class SkillVersion(SkillVersionItem):
    """A skill as it was at one version."""

    instructions: str
    category: str | None
    allowed_tools: list[str]
    tags: list[str]
    references: list[dict[str, str]]
    scripts: list[dict[str, str]]
    license: str | None
    compatibility: str | None
    metadata: dict[str, str]
    files: list[SkillFile]


class Prompt(TypedDict):
    """A prompt at its newest version."""

    id: str
    name: str
    template: str
    description: str | None
    tags: list[str]
    tools: list[dict[str, Any]]
    version: int
    created_at: str
    updated_at: str
    is_active: bool


class PromptVersion(TypedDict):
    """A prompt as it was."""

    prompt_id: str
    version: int
    name: str
    template: str
    description: str | None
    tags: list[str]
    tools: list[dict[str, Any]]
    created_at: str
    created_by: str | None


class PromptLabel(TypedDict):
    """A label and the version it points at."""

    label: str
    version: int
    updated_at: str


PromptDiff = TypedDict("PromptDiff", {"prompt_id": str, "from": int, "to": int, "diff": str, "changes": dict[str, Any]})
"""What differs between two versions."""


class PromptText(TypedDict):
    """A filled prompt."""

    text: str
    missing: list[str]
    unused: list[str]
    version: int


class Agent(TypedDict):
    """An agent with its whole config."""

    id: str
    name: str
    description: str | None
    version: str
    prompt_service_id: str
    prompt_version: int | None
    prompt_label: str | None
    tags: list[str]
    config: dict[str, Any]
    created_at: str
    updated_at: str
    is_active: bool


class TeamSeat(TypedDict):
    """A membership, as the team lists it."""

    agent_id: str
    role: str | None
    order_index: int


class TeamMember(TeamSeat):
    """A membership and its agent's name; `agent_is_active` is false once the agent was deleted."""

    name: str
    description: str | None
    agent_is_active: bool
    created_at: str


class Team(TypedDict):
    """A team and its members in order."""

    id: str
    name: str
    description: str | None
    version: str
    mode: str
    agents: list[TeamSeat]
    created_at: str
    updated_at: str
    is_active: bool


class Usage(TypedDict):
    """Tokens and cost of a run."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    is_estimated: bool
    cost: float | None


class Approval(TypedDict):
    """A call that waits for a decision, or what was decided."""

    id: str
    run_id: str | None
    job_id: str | None
    call_id: str
    tool_name: str
    tool_args: dict[str, Any]
    args_sha256: str
    edited_args: dict[str, Any] | None
    risk_level: str
    reason: str
    status: str
    created_at: str
    expires_at: str
    decided_by: str | None
    decided_at: str | None
    note: str | None


class ChatAnswer(TypedDict):
    """How a turn ended, or what it waits for."""

    run_id: str
    session_id: str
    agent_id: str
    model: str
    status: str
    content: str
    output: Any
    usage: Usage
    approvals: list[Approval]


class RunSupervisor(TypedDict):
    """What a supervised run was classified as, and its jobs."""

    supervisor_run_id: str
    classification: str | None
    worker_agent_id: str | None
    execution_engine: str | None
    risk_level: str | None
    jobs: list[str]


class Run(TypedDict):
    """A run."""

    id: str
    kind: str
    subject: str
    status: str
    tenant_id: str | None
    session_id: str
    user_id: str | None
    key_id: int | None
    created_at: str
    completed_at: str | None
    request: dict[str, Any]
    model: str | None
    content: str | None
    output: Any
    usage: Usage | None
    error: dict[str, Any] | None
    supervisor: RunSupervisor | None


class Session(TypedDict):
    """A conversation."""

    id: str
    tenant_id: str | None
    user_id: str | None
    agent_id: str | None
    created_at: str
    updated_at: str


class Message(TypedDict):
    """One message of a session."""

    run_id: str
    position: int
    role: str
    agent_id: str
    run_status: str
    text: str
    parts: list[dict[str, Any]]
    created_at: str


class Memory(TypedDict):
    """A fact that an agent keeps about a user."""

    id: str
    tenant_id: str | None
    user_id: str
    agent_id: str
    content: str
    run_id: str | None
    created_at: str
    updated_at: str


class Key(TypedDict):
    """A key without its secret."""

    id: int
    name: str
    hint: str | None
    owner_id: str | None
    scopes: list[str]
    rate_limit: int
    expires_at: str | None
    last_used_at: str | None
    created_at: str
    is_active: bool


class IssuedKey(Key):
    """A new key with its secret."""

    api_key: str


class RotatedKey(IssuedKey):
    """The successor of a key."""

    rotated_from: int
    old_key_expires_at: str


class WhoAmI(Key):
    """The calling key."""

    tenant: str | None
    is_operator: bool


class UsageReport(TypedDict):
    """Grouped sums, and the sum of all."""

    items: list[dict[str, Any]]
    total: dict[str, Any]


class Budget(TypedDict):
    """A budget and where it stands."""

    id: str
    name: str | None
    subject_type: str
    subject_id: str
    unit: str
    period: str
    amount: float
    spent: float
    reserved: float
    remaining: float
    window_started_at: str
    resets_at: str
    tenant_id: str | None
    by_operator: bool
    is_active: bool
    created_at: str
    updated_at: str


class ModelProvider(TypedDict):
    """A model provider."""

    provider: str
    api: str
    configured: bool
    built_in: bool
    models: list[str]
    missing: str | None


class AuditEntry(TypedDict):
    """One recorded change."""

    id: int
    at: str
    tenant: str | None
    actor: str
    actor_key_id: int | None
    action: str
    object_type: str
    object_id: str
    detail: dict[str, Any]
    request_id: str | None
    seal: dict[str, Any] | None


class AuditVerdict(TypedDict):
    """Whether the chain is sound."""

    sound: bool
    sealed: int
    unsealed: int
    head: dict[str, Any]
    faults: list[dict[str, Any]]


class Erasure(TypedDict):
    """An erasure, and what it has done so far."""

    id: str
    tenant_id: str | None
    user_id: str | None
    status: str
    counts: dict[str, int]
    requested_at: str
    completed_at: str | None
