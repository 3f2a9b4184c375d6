"""A supervised run, driven from wherever it stands to where it has to wait: classify, dispatch, answer."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.execution import queries as execution_queries
from pointsman.kit import json_text
from pointsman.kit.db import Connection, Database
from pointsman.llm.port import AssistantMessage, Message, ModelAnswer, ModelPort, Text, ToolCall, ToolSpec, UserMessage
from pointsman.runs import events
from pointsman.settings import SupervisionSettings
from pointsman.supervision import dispatching, queries, wording
from pointsman.supervision.classification import Classification, ClassificationFaulty, read_classification
from pointsman.supervision.errors import ClassificationInvalid
from pointsman.supervision.leading import Leader
from pointsman.supervision.patience import patiently
from pointsman.supervision.points import CLASSIFYING
from pointsman.supervision.recording import Recording
from pointsman.supervision.steps import Place, Step, Told
from pointsman.supervision.wording import EngineOffer
from pointsman.turns.loop import TurnResult, run_turn
from pointsman.turns.ports import ToolOutcome

_ENGINES = 50
_REPLANS = 1


class Drive:
    """One run in this process."""

    def __init__(self, db: Database, leader: Leader, models: ModelPort, recording: Recording, settings: SupervisionSettings) -> None:
        self._db = db
        self._leader = leader
        self._models = models
        self._recording = recording
        self._settings = settings

    async def go_on(self) -> None:
        """Until the run has ended, or waits for jobs. Raises a Problem where it cannot come to an answer, and TakenOver."""
        while True:
            match self._recording.place.stage:
                case "classify":
                    await self._classify()
                case "jobs":
                    if not await self._take_results():
                        return
                case "answer":
                    await self._answer()
                case "ended":
                    return

    # --- classify

    async def _classify(self) -> None:
        recording, most = self._recording, self._settings.max_jobs
        engines = await patiently(self._db, _offers)
        call = self._leader.classifying(recording.messages, engines, most)
        await recording.asking(call)
        answer = await self._models.complete(call)
        recording.answered(answer)
        text = "".join(part.text for part in answer.message.parts if isinstance(part, Text))
        try:
            classified = read_classification(text, most_jobs=most, engines=[engine.id for engine in engines])
        except ClassificationFaulty as fault:
            await self._repair(answer, str(fault))
        else:
            await self._accept(answer, classified, engines)

    async def _repair(self, answer: ModelAnswer, fault: str) -> None:
        recording = self._recording
        notes = sum(isinstance(message, UserMessage) for message in recording.messages[recording.place.since :])
        note = _note(wording.repair(fault))
        await recording.commit(Step(recording.place, [_kept(answer.message), note], answer.spent))
        if notes > 1:
            raise ClassificationInvalid(
                f"The leader's second answer was no classification either: {fault}.",
                hint="A model with structured output holds to the schema; a leader's prompt that asks for something else does not help.",
            )

    async def _accept(self, answer: ModelAnswer, classified: Classification, engines: Sequence[EngineOffer]) -> None:
        recording = self._recording
        place, facts, messages = recording.place, recording.facts, list[Message]([_kept(answer.message)])
        jobs = dispatching.plan_jobs(facts, self._leader.team, classified, place.round, engines, self._settings.ask_at_risk)
        if jobs:
            following = Place("jobs", place.since, place.round)
        else:
            messages.append(_note(wording.answer_now(classified.classification)))
            following = Place("answer", len(recording.messages) + 1, place.round)

        async def store(connection: Connection) -> None:
            await queries.store_response(
                connection,
                facts.supervisor_run_id,
                response=json_text.encode(classified.stored()),
                worker=jobs[0].agent_id if jobs else None,
                engine=jobs[0].engine_id if jobs else None,
            )
            await dispatching.dispatch(connection, jobs, facts.run_id)

        said: Told = (
            events.MESSAGE_COMPLETED,
            {"message": recording.answers, "text": classified.rationale, "classification": classified.stored()},
        )
        await recording.commit(Step(following, messages, answer.spent, [said], store), CLASSIFYING)

    # --- results

    async def _take_results(self) -> bool:
        """Whether the jobs have ended; then the leader is told what came of them."""
        recording = self._recording
        place = recording.place
        jobs = await patiently(self._db, lambda connection: dispatching.list_jobs(connection, recording.facts.supervisor_run_id))
        if any(job.is_live for job in jobs):
            return False
        latest = [job.story for job in jobs if job.id in dispatching.ids_of(recording.facts.run_id, place.round, len(jobs))]
        if place.round < _REPLANS and any(job.status == "oom" for job in latest):
            await self._tell(Place("classify", len(recording.messages), place.round + 1), wording.replan(latest))
        else:
            await self._tell(Place("answer", len(recording.messages), place.round), wording.results(latest))
        return True

    async def _tell(self, following: Place, text: str) -> None:
        await self._recording.commit(Step(following, [_note(text)]))

    # --- answer

    async def _answer(self) -> None:
        recording = self._recording
        plan, state = self._leader.answering(recording.messages, recording.place.since)
        result = await run_turn(plan, state, self._models, _NoTools(), recording)
        assert isinstance(result, TurnResult), "without tools nothing can be asked for"
        await recording.complete(result)


class _NoTools:
    """A supervisor acts through jobs alone."""

    specs: tuple[ToolSpec, ...] = ()

    async def call(self, call: ToolCall) -> ToolOutcome:
        return ToolOutcome(f"There is no tool {call.name!r}.", is_error=True)


async def _offers(connection: Connection) -> list[EngineOffer]:
    engines = await execution_queries.list_engines(connection, kind=None, include_inactive=False, after=None, limit=_ENGINES)
    return [EngineOffer(engine.id, engine.type, engine.description, engine.is_default) for engine in engines]


def _note(text: str) -> UserMessage:
    return UserMessage((Text(text),))


def _kept(message: AssistantMessage) -> AssistantMessage:
    """Without tool calls, which no tool of ours would ever answer: providers refuse a conversation with one that is left open."""
    parts = tuple(part for part in message.parts if not isinstance(part, ToolCall))
    return AssistantMessage(parts or (Text(""),), message.model)
