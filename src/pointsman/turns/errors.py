"""How a turn can fail by its own doing."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class TooManySteps(Problem):
    """The model called tools again and again without coming to an answer; the turn was ended at `POINTSMAN_RUNS__MAX_STEPS` model calls.

    Look at the run's events for the circle it went in: usually a tool's result does not tell the model what it needs.
    """

    kind = Kind.UPSTREAM
    code = "model-too-many-steps"
    title = "The model did not come to an answer"


class OutputInvalid(Problem):
    """The model's answer does not match the agent's `output_schema`, also after it was told what was wrong.

    The detail names the places. Simplify the schema, describe its fields, or use a model with structured output.
    """

    kind = Kind.UPSTREAM
    code = "model-output-invalid"
    title = "The model's output does not match the schema"
