"""What can go wrong with agents."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class AgentNotFound(Problem):
    """No active agent has this id. A deleted agent counts as absent.

    `GET /v2/agents` lists the active ones. Creating an agent with the id of a deleted one brings it back, as it is then described.
    """

    kind = Kind.NOT_FOUND
    code = "agent-not-found"
    title = "There is no such agent"


class AgentExists(Problem):
    """An active agent already has this id. Names may repeat, ids may not.

    Choose another id, leave it out to get a generated one, or change the existing agent with `PATCH /v2/agents/{id}`.
    """

    kind = Kind.CONFLICT
    code = "agent-exists"
    title = "An agent with this id exists"


class AgentPromptTaken(Problem):
    """Creating an agent from a `template` makes a prompt with the agent's id, and a prompt that is not this agent's has that id.

    It was not touched. To use that prompt, send `prompt_service_id` in place of `template`; to have one of its own, choose another
    id for the agent.
    """

    kind = Kind.CONFLICT
    code = "agent-prompt-taken"
    title = "Another prompt has this agent's id"


class AgentPromptUnknown(Problem):
    """The prompt that the agent is to be bound to, or the version or label it is to be pinned to, does not exist.

    `GET /v2/prompts` lists prompts, `GET /v2/prompts/{id}/versions` and `/labels` what can be pinned.
    """

    kind = Kind.INVALID
    code = "agent-prompt-unknown"
    title = "The agent's prompt does not exist"


class AgentPromptShared(Problem):
    """A `template` was sent for an agent whose prompt was not made with it, so that others may be using the prompt too.

    Change the prompt itself with `PATCH /v2/prompts/{id}` if that is what you want for everybody who uses it.
    """

    kind = Kind.CONFLICT
    code = "agent-prompt-shared"
    title = "The prompt does not belong to this agent"


class AgentPromptPinned(Problem):
    """The change would leave the agent's pin behind.

    Either a pinned agent would not use the new template, or the pinned version's number means something else in the other prompt.
    Say in the same request what the agent shall be pinned to; `null` for `prompt_version` and `prompt_label` unpins it.
    """

    kind = Kind.CONFLICT
    code = "agent-prompt-pinned"
    title = "The agent is pinned to a version of its prompt"


class AgentPromptMissing(Problem):
    """The agent cannot run: its prompt was deleted, or the label or version it is pinned to is gone.

    Create the prompt again (its versions come back), set the label again, or bind the agent to another prompt with `PATCH /v2/agents/{id}`.
    """

    kind = Kind.CONFLICT
    code = "agent-prompt-missing"
    title = "The agent's prompt is missing"
