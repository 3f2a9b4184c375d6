"""What the leader says a request is: the typed response, the schema that its model is held to, and what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, cast

import msgspec
import pydantic
from pydantic import Field, StringConstraints, model_validator

from pointsman.jobs.job_spec import JobSpec
from pointsman.kit.json_text import unfenced
from pointsman.web.wire import Body

RequestKind = Literal[
    "no_action",
    "answer_only",
    "read_only_analysis",
    "code_fix",
    "feature_small",
    "feature_medium",
    "feature_large",
    "refactor_scoped",
    "test_generation",
    "documentation_update",
    "infrastructure_change",
    "noc_operation",
    "high_risk_escalation",
]
WorkerType = Literal[
    "coding", "planning", "infrastructure", "operations", "documentation", "verifier", "data_platform", "bi_reporting", "none"
]
RiskLevel = Literal["low", "medium", "high"]
Sentence = Annotated[str, StringConstraints(max_length=4000)]

ANSWERED = frozenset({"no_action", "answer_only"})
_MOST_FAULTS = 10


class Classification(Body):
    """What a request is, who should do it, how risky it is, and the jobs that it comes to."""

    classification: RequestKind
    should_invoke_worker: bool = Field(description="Whether jobs go out; false: you answer yourself.")
    worker_type: WorkerType = Field(description="The kind of worker that does the jobs; none without jobs.")
    execution_engine: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        default=None, description="The id of the engine to use; null: the worker's, else the default one."
    )
    execution_engine_reason: Sentence = ""
    rationale: Sentence = Field(default="", description="Why, in one or two sentences that the user may read.")
    risk_level: RiskLevel
    requires_human_review: bool = Field(description="Whether a person must approve before a job acts.")
    jobs: list[JobSpec] = Field(default_factory=list[JobSpec], description="What is to be done, one job for each independent piece.")

    @model_validator(mode="after")
    def _holds_together(self) -> Classification:
        if self.classification in ANSWERED and self.should_invoke_worker:
            raise ValueError(f"{self.classification} invokes no worker: should_invoke_worker must be false.")
        if self.should_invoke_worker and not self.jobs:
            raise ValueError("should_invoke_worker is true, so jobs needs at least one job.")
        if self.should_invoke_worker and self.worker_type == "none":
            raise ValueError("should_invoke_worker is true, so worker_type must not be none.")
        if self.jobs and not self.should_invoke_worker:
            raise ValueError("jobs are given, so should_invoke_worker must be true.")
        return self

    def stored(self) -> dict[str, Any]:
        """As `supervisor_runs.supervisor_response` and readers of the run have it."""
        return self.model_dump(mode="json")


OUTPUT_SCHEMA: dict[str, Any] = {**Classification.model_json_schema(), "title": "classification"}


class ClassificationFaulty(ValueError):  # noqa: N818 - it is told to the model, and only then perhaps an error
    """An answer that is no classification; the text says to its author what is wrong with it."""


def read_classification(text: str, *, most_jobs: int, engines: Collection[str]) -> Classification:
    """What a model answered; `engines` are the ids that it may name. Raises ClassificationFaulty."""
    try:
        raw: Any = msgspec.json.decode(unfenced(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ClassificationFaulty(f"it is not JSON ({error})") from None
    if "\\u0000" in text:  # nothing that is kept as text may hold it
        raise ClassificationFaulty("a text in it has the character U+0000")
    try:
        classified = Classification.model_validate(raw)
    except pydantic.ValidationError as error:
        raise ClassificationFaulty("; ".join(_faults(error))) from None
    if len(classified.jobs) > most_jobs:
        raise ClassificationFaulty(f"/jobs: {len(classified.jobs)} jobs are too many, {most_jobs} is the most")
    if classified.execution_engine is not None and classified.execution_engine not in engines:
        known = ", ".join(engines) or "none"
        raise ClassificationFaulty(f"/execution_engine: there is no engine {classified.execution_engine!r}; engines are: {known}")
    return classified


def _faults(error: pydantic.ValidationError) -> list[str]:
    faults = cast("list[dict[str, Any]]", error.errors(include_url=False, include_input=False))
    lines = [f"/{'/'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}" for fault in faults[:_MOST_FAULTS]]
    return [*lines, f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else lines
