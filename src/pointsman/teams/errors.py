"""What can go wrong with teams."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class TeamNotFound(Problem):
    """No active team has this id. A deleted team counts as absent.

    `GET /v2/teams` lists the active ones. Creating a team with the id of a deleted one brings it back, as it is then described.
    """

    kind = Kind.NOT_FOUND
    code = "team-not-found"
    title = "There is no such team"


class TeamExists(Problem):
    """An active team already has this id. Names may repeat, ids may not.

    Choose another id, leave it out to get a generated one, or change the existing team with `PATCH /v2/teams/{id}`.
    """

    kind = Kind.CONFLICT
    code = "team-exists"
    title = "A team with this id exists"


class TeamAgentUnknown(Problem):
    """A member that was to be added is no active agent: it never existed, or it was deleted. `errors[]` names each.

    `GET /v2/agents` lists agents. Creating an agent with the id of a deleted one brings it back.
    """

    kind = Kind.INVALID
    code = "team-agent-unknown"
    title = "A member is no active agent"


class TeamMemberNotFound(Problem):
    """The agent is not a member of the team.

    `GET /v2/teams/{id}/members` lists the members, `PUT /v2/teams/{id}/members/{agent_id}` adds one.
    """

    kind = Kind.NOT_FOUND
    code = "team-member-not-found"
    title = "The agent is not in the team"


class TeamLeaderTaken(Problem):
    """The member was to lead a team that has a leader. One leads, or nobody does.

    Give the present leader another role first (`PATCH /v2/teams/{id}/members/{agent_id}` with `"role": null`), or send all members at
    once with `PATCH /v2/teams/{id}`.
    """

    kind = Kind.CONFLICT
    code = "team-leader-taken"
    title = "The team has a leader"


class TeamWithoutLeader(Problem):
    """The team cannot run: none of its members has the role `leader`, so nobody would decide who does what.

    `PUT /v2/teams/{id}/members/{agent_id}` with `{"role": "leader"}` makes one lead.
    """

    kind = Kind.CONFLICT
    code = "team-without-leader"
    title = "Nobody leads the team"


class TeamEmpty(Problem):
    """The team cannot run: it has no members, or none besides its leader, so that there is nobody to give work to.

    `PUT /v2/teams/{id}/members/{agent_id}` adds one. To talk to a single agent, use `POST /v2/agents/{id}/chat`.
    """

    kind = Kind.CONFLICT
    code = "team-empty"
    title = "The team has nobody to give work to"


class TeamMemberDeleted(Problem):
    """The team cannot run: agents that are its members were deleted; the detail names them.

    Remove them with `DELETE /v2/teams/{id}/members/{agent_id}`, or create the agents again, which brings them back.
    """

    kind = Kind.CONFLICT
    code = "team-member-deleted"
    title = "A member of the team was deleted"
