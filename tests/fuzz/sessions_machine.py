"""Sessions and memories against a model of them: who said what to whom in which order, and what an agent can therefore know."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.fuzz.calls import Calls

_EXAMPLES = itertools.count()
_HISTORY_RUNS = 2
_TENANTS = ("a", "b")
_tenants = st.sampled_from(_TENANTS)
_users = st.sampled_from((None, "ann", "bob"))
_sessions = st.sampled_from(("one", "two"))
_words = st.sampled_from(("tea", "coffee", "{history}"))
_NEVER = "ses_0000000000000000000000"


@dataclass
class Turn:
    """What was said, and what was answered; nothing where the model failed."""

    said: str
    answer: str | None
    agent: str


@dataclass
class Talk:
    """A session that exists."""

    user: str | None
    agent: str
    turns: list[Turn] = field(default_factory=list[Turn])

    def transcript(self) -> str:
        """What a model of `_HISTORY_RUNS` is told of the turns before: those that were answered, the last few."""
        answered = [turn for turn in self.turns if turn.answer is not None][-_HISTORY_RUNS:]
        return "\n".join(line for turn in answered for line in (f"user: {turn.said}", f"assistant: {turn.answer}"))

    def messages(self) -> list[tuple[str, str, str]]:
        """Role, text and what became of the run."""
        told: list[tuple[str, str, str]] = []
        for turn in self.turns:
            status = "failed" if turn.answer is None else "completed"
            told.append(("user", turn.said, status))
            if turn.answer is not None:
                told.append(("assistant", turn.answer, status))
        return told


@dataclass
class Fact:
    """A memory that exists."""

    user: str
    content: str


_ANSWERS: dict[str, Callable[[Talk, str], str | None]] = {
    "echo": lambda _, said: said,
    "teller": lambda talk, _: f"[{talk.transcript()}]",
    "forgetful": lambda *_: "[]",
    "broken": lambda *_: None,
}
_TELLING = {"model": "scripted:teller", "script": {"turns": [{"text": "[{transcript}]"}]}, "num_history_runs": _HISTORY_RUNS}
_CONFIGS: dict[str, dict[str, Any]] = {
    "echo": {"model": "scripted:echo"},
    "teller": _TELLING,
    "forgetful": _TELLING | {"enable_history": False},
    "broken": {"model": "scripted:broken", "script": {"turns": [{"error": {"kind": "rejected"}}]}},
}
_agents = st.sampled_from(tuple(_CONFIGS))


class SessionsMachine(RuleBasedStateMachine):
    """Bound to a gateway by `calls`; each example has tenants of its own, the agents are shared."""

    calls: ClassVar[Calls]

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"machine{next(_EXAMPLES)}"
        self._talks: dict[tuple[str, str], Talk] = {}
        self._facts: dict[str, dict[str, Fact]] = {tenant: {} for tenant in _TENANTS}
        self._known: list[tuple[str, str]] = []

    @initialize()
    def make_agents(self) -> None:
        for name, config in _CONFIGS.items():
            # Its memory would be a text of the system prompt, which no script shows; it is asked for as a list below.
            body = {"id": f"machine-{name}", "name": name, "template": "Be brief.", "config": config | {"enable_memory": False}}
            assert self.calls.ask("POST", "/v2/agents", body).status in {201, 409}

    @rule(tenant=_tenants, agent=_agents, session=_sessions, user=_users, said=_words)
    def chat(self, tenant: str, agent: str, session: str, user: str | None, said: str) -> None:
        self._say(tenant, agent, session, user, said)

    @precondition(lambda self: self._talks)
    @rule(which=st.integers(0, 3), turns=st.lists(st.tuples(_agents, _words), min_size=1, max_size=4))
    def go_on(self, which: int, turns: list[tuple[str, str]]) -> None:
        """Several turns by whoever began the session: history is what it is about, and seldom comes about by chance."""
        (tenant, session), talk = list(self._talks.items())[which % len(self._talks)]
        for agent, said in turns:
            self._say(tenant, agent, session, talk.user, said)

    @rule(tenant=_tenants, session=_sessions)
    def delete_session(self, tenant: str, session: str) -> None:
        assert self._ask(tenant, "DELETE", f"/v2/sessions/{session}")[0] == 204
        self._talks.pop((tenant, session), None)

    @rule(tenant=_tenants, user=st.sampled_from(("ann", "bob")), content=_words)
    def remember(self, tenant: str, user: str, content: str) -> None:
        status, made = self._ask(tenant, "POST", "/v2/memories", {"user_id": user, "agent_id": "machine-echo", "content": content})
        assert status == 201
        self._facts[tenant][made["id"]] = Fact(user, content)
        self._known.append((tenant, made["id"]))

    @precondition(lambda self: self._known)
    @rule(tenant=_tenants, which=st.integers(0, 99), content=_words)
    def mend(self, tenant: str, which: int, content: str) -> None:
        fact_id = self._known[which % len(self._known)][1]
        status, mended = self._ask(tenant, "PATCH", f"/v2/memories/{fact_id}", {"content": content})
        fact = self._facts[tenant].get(fact_id)
        if fact is None:
            assert (status, mended["code"]) == (404, "memory-not-found")
            return
        fact.content = content
        assert (status, mended["content"]) == (200, content)

    @precondition(lambda self: self._known)
    @rule(tenant=_tenants, which=st.integers(0, 99))
    def forget(self, tenant: str, which: int) -> None:
        fact_id = self._known[which % len(self._known)][1]
        assert self._ask(tenant, "DELETE", f"/v2/memories/{fact_id}")[0] == 204
        self._facts[tenant].pop(fact_id, None)
        assert self._ask(tenant, "GET", f"/v2/memories/{fact_id}")[0] == 404

    @invariant()
    def each_tenant_has_its_sessions_and_no_others(self) -> None:
        for tenant in _TENANTS:
            own = {session: talk for (owner, session), talk in self._talks.items() if owner == tenant}
            listed = self._all(tenant, "/v2/sessions", limit=1)
            assert [row["id"] for row in listed] == list(reversed(own))
            assert {row["id"]: (row["user_id"], row["agent_id"]) for row in listed} == {
                session: (talk.user, talk.agent) for session, talk in own.items()
            }
            for user in ("ann", "bob"):
                of_user = self._all(tenant, "/v2/sessions", limit=2, user_id=user)
                assert {row["id"] for row in of_user} == {session for session, talk in own.items() if talk.user == user}
            assert self._ask(tenant, "GET", f"/v2/sessions/{_NEVER}")[0] == 404

    @invariant()
    def messages_and_runs_are_those_of_the_turns(self) -> None:
        for tenant, session in itertools.product(_TENANTS, ("one", "two")):
            talk = self._talks.get((tenant, session))
            runs = self._all(tenant, "/v2/runs", limit=3, session_id=session)
            if talk is None:
                assert self._ask(tenant, "GET", f"/v2/sessions/{session}/messages")[0] == 404
                assert runs == []
                continue
            told = self._all(tenant, f"/v2/sessions/{session}/messages", limit=3)
            assert [(message["role"], message["text"], message["run_status"]) for message in told] == talk.messages()
            assert [(run["subject"], run["content"]) for run in reversed(runs)] == [(turn.agent, turn.answer or "") for turn in talk.turns]

    @invariant()
    def memories_are_those_that_were_told(self) -> None:
        for tenant in _TENANTS:
            for user in (None, "ann"):
                listed = self._all(tenant, "/v2/memories", limit=2, user_id=user)
                wanted = {number: fact for number, fact in self._facts[tenant].items() if user is None or fact.user == user}
                assert [row["id"] for row in listed] == list(reversed(wanted))
                assert all((row["user_id"], row["content"]) == (wanted[row["id"]].user, wanted[row["id"]].content) for row in listed)

    def _say(self, tenant: str, agent: str, session: str, user: str | None, said: str) -> None:
        body = {"message": said, "session_id": session} | ({"user_id": user} if user else {})
        status, answer = self._ask(tenant, "POST", f"/v2/agents/machine-{agent}/chat", body)
        talk = self._talks.get((tenant, session))
        if talk is not None and talk.user != user:
            assert (status, answer["code"]) == (404, "session-not-found")
            return
        talk = talk or self._talks.setdefault((tenant, session), Talk(user, f"machine-{agent}"))
        wanted = _ANSWERS[agent](talk, said)
        talk.turns.append(Turn(said, wanted, f"machine-{agent}"))
        if wanted is None:
            assert answer["code"].startswith("model-")
            return
        assert (status, answer["content"], answer["session_id"], answer["agent_id"]) == (200, wanted, session, f"machine-{agent}")

    def _ask(self, tenant: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.calls.ask(method, path, body, tenant=self._prefix + tenant)

    def _all(self, tenant: str, path: str, *, limit: int, **query: Any) -> list[dict[str, Any]]:
        return self.calls.all_of(path, limit=limit, tenant=self._prefix + tenant, **query)
