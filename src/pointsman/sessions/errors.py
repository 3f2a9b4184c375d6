"""What can be wrong with asking for a session, a message or a memory."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class SessionNotFound(Problem):
    """No session has this id for this tenant and user.

    A session is bound to the `user_id` of its first turn, or to none: later turns give the same one, or none. An unknown id in a chat
    starts a new session, so a chat only meets this problem when the session was begun otherwise.
    """

    kind = Kind.NOT_FOUND
    code = "session-not-found"
    title = "No such session"


class SessionBusy(Problem):
    """Another turn of this session is still running; turns of one session never mix.

    Wait for it (`GET /v2/runs/{id}/events`), cancel it, or use another session.
    """

    kind = Kind.CONFLICT
    code = "session-busy"
    title = "The session is busy"


class MemoryNotFound(Problem):
    """No memory has this id, or it belongs to another tenant.

    Memories are listed by `GET /v2/memories`.
    """

    kind = Kind.NOT_FOUND
    code = "memory-not-found"
    title = "No such memory"
