"""Prompts on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue, StringConstraints, model_validator

from pointsman.kit.ids import ChosenId, is_chosen_id
from pointsman.tools.specs import ToolRef, ToolRefs
from pointsman.web.wire import Body, Moment, Name, Read, Tags, Version

Template = Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
Description = Annotated[str, StringConstraints(max_length=10_000)]


class PromptCreate(Body):
    """A new prompt. `{name}` in the template is a placeholder; any other brace is text."""

    id: ChosenId
    name: Name
    template: Template
    description: Description | None = None
    tags: Tags = Field(default_factory=list[str])
    tools: ToolRefs = Field(default_factory=list[ToolRef])


class PromptPatch(Body):
    """Changes to a prompt; what is not sent stays. If anything changes, the prompt gets a new version."""

    # The defaults are never read: `model_fields_set` says what was sent. Factories keep them out of the OpenAPI document.
    name: Name = Field(default_factory=str)
    template: Template = Field(default_factory=str)
    description: Description | None = Field(default_factory=str)
    tags: Tags = Field(default_factory=list[str])
    tools: ToolRefs = Field(default_factory=list[ToolRef])


class PromptRollback(Body):
    """Which version's content becomes the newest version."""

    version: Version


class LabelPut(Body):
    """Which version the label points at."""

    version: Version


class PromptRender(Body):
    """Values for the placeholders: text goes in as it is, any other value as JSON; null counts as not given."""

    variables: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue], max_length=1000)
    version: Version | None = Field(default=None, description="Version to fill; the newest if neither this nor `label` is given.")
    label: str | None = Field(default=None, max_length=255, description="Label whose version is filled.")

    @model_validator(mode="after")
    def _one_choice(self) -> PromptRender:
        if self.version is not None and self.label is not None:
            raise ValueError("Give version or label, not both.")
        return self


class PromptRead(Read):
    """A prompt at its newest version."""

    id: str
    name: str
    template: str
    description: str | None
    tags: list[str]
    tools: list[dict[str, Any]]
    version: int
    created_at: Moment
    updated_at: Moment
    is_active: bool


class PromptVersionRead(Read):
    """A prompt as it was at one version; `created_by` is the name of the key that made it."""

    prompt_id: str
    version: int
    name: str
    template: str
    description: str | None
    tags: list[str]
    tools: list[dict[str, Any]]
    created_at: Moment
    created_by: str | None


class LabelRead(Read):
    """A label and the version it points at."""

    label: str
    version: int
    updated_at: Moment


class Change(Read):
    """A field that differs between two versions."""

    before: Any
    after: Any


class PromptDiff(Read):
    """What differs between two versions: the template as a unified diff, other fields whole."""

    prompt_id: str
    from_version: int = Field(serialization_alias="from")
    to_version: int = Field(serialization_alias="to")
    diff: str
    changes: dict[str, Change]


class PromptText(Read):
    """A filled prompt; `missing` placeholders stand in the text as they were written."""

    text: str
    missing: list[str]
    unused: list[str]
    version: int


def label_fault(label: str) -> str | None:
    """Why this cannot be a label's name; None where it can. A number or `latest` would be mistaken for a version."""
    if not is_chosen_id(label):
        return "A label has 1 to 255 of the characters A-Z a-z 0-9 _ . - and begins with a letter or digit."
    if label.isdecimal() or label.lower() == "latest":
        return "Numbers and latest are not taken as labels: they would read like a version."
    return None
