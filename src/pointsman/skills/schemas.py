"""Skills on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from pointsman.kit.ids import ChosenId
from pointsman.skills.content import Content
from pointsman.skills.folders import EXECUTABLE, File
from pointsman.skills.format import LONGEST_COMPATIBILITY, LONGEST_DESCRIPTION, LONGEST_INSTRUCTIONS, tools_of
from pointsman.skills.rows import Skill, SkillVersion
from pointsman.web.wire import NOT_BLANK, Body, Moment, Name, Read, Tags, Version


def _one_tool(value: str) -> str:
    if tools_of(value) != [value]:
        raise ValueError("This is no tool, such as current_time or memory(recall *).")
    return value


def _distinct(files: list[SkillText]) -> list[SkillText]:
    if len({file.name for file in files}) < len(files):
        raise ValueError("A name is listed twice.")
    return files


Description = Annotated[str, StringConstraints(max_length=LONGEST_DESCRIPTION)]
Instructions = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_INSTRUCTIONS)]
Category = Annotated[str, StringConstraints(min_length=1, max_length=255), Field(json_schema_extra=NOT_BLANK)]
License = Annotated[str, StringConstraints(max_length=1000)]
Compatibility = Annotated[str, StringConstraints(max_length=LONGEST_COMPATIBILITY)]
Tool = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[^\s,()]+(\([^)]*\))?$"),
    AfterValidator(_one_tool),
    Field(description="`tool` or `tool(argument glob)`."),
]
Tools = Annotated[list[Tool], Field(max_length=100, description="While the skill is active nothing else may be called; empty: anything.")]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Metadata = Annotated[dict[MetadataKey, Annotated[str, StringConstraints(max_length=1000)]], Field(max_length=50)]


class SkillText(Body):
    """A file with text; `name` is its path below `references/` or `scripts/`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    content: Annotated[str, StringConstraints(max_length=LONGEST_INSTRUCTIONS)]


Texts = Annotated[list[SkillText], Field(max_length=200), AfterValidator(_distinct)]


class SkillCreate(Body):
    """A new skill. What the format adds to the columns, `license`, `compatibility` and `metadata`, is in its exported SKILL.md."""

    id: ChosenId
    name: Name = Field(description="In exports written as the format wants it: lower case letters, digits and hyphens.")
    description: Description | None = Field(default=None, description="What it does and when to use it: all that a model sees at first.")
    instructions: Instructions
    category: Category | None = None
    references: Texts = Field(default_factory=list[SkillText])
    scripts: Texts = Field(default_factory=list[SkillText])
    allowed_tools: Tools = Field(default_factory=list[str])
    tags: Tags = Field(default_factory=list[str])
    license: License | None = None
    compatibility: Compatibility | None = None
    metadata: Metadata = Field(default_factory=dict[str, str])


class SkillPatch(Body):
    """Changes to a skill; what is not sent stays. If anything changes, the skill gets a new version."""

    # The defaults are never read: `model_fields_set` says what was sent. Factories keep them out of the OpenAPI document.
    name: Name = Field(default_factory=str)
    description: Description | None = Field(default_factory=str)
    instructions: Instructions = Field(default_factory=str)
    category: Category | None = Field(default_factory=str)
    references: Texts = Field(default_factory=list[SkillText])
    scripts: Texts = Field(default_factory=list[SkillText])
    allowed_tools: Tools = Field(default_factory=list[str])
    tags: Tags = Field(default_factory=list[str])
    license: License | None = Field(default_factory=str)
    compatibility: Compatibility | None = Field(default_factory=str)
    metadata: dict[MetadataKey, Annotated[str, StringConstraints(max_length=1000)] | None] = Field(
        default_factory=dict[str, str | None], max_length=50, description="Merged into what is there; null removes an entry."
    )


class SkillRollback(Body):
    """Which version's content becomes the newest version."""

    version: Version


class SkillItem(Read):
    """A skill in a list, without its texts."""

    id: str
    name: str
    description: str | None
    category: str | None
    allowed_tools: list[str]
    tags: list[str]
    version: int
    created_at: Moment
    updated_at: Moment
    is_active: bool


class SkillTextRead(Read):
    """A file with text; `name` is its path below `references/` or `scripts/`."""

    name: str
    content: str


class SkillFileRead(Read):
    """A file of a skill: `path` below its folder, `size` in bytes."""

    path: str
    size: int
    sha256: str
    executable: bool


class _Contents(Read):
    name: str
    description: str | None
    instructions: str
    category: str | None
    references: list[SkillTextRead]
    scripts: list[SkillTextRead]
    allowed_tools: list[str]
    tags: list[str]
    license: str | None
    compatibility: str | None
    metadata: dict[str, str]
    files: list[SkillFileRead] = Field(description="All its files; its SKILL.md where it was imported and not edited since.")


class SkillRead(_Contents):
    """A skill at its newest version."""

    id: str
    version: int
    created_at: Moment
    updated_at: Moment
    is_active: bool

    @classmethod
    def of(cls, skill: Skill, content: Content) -> SkillRead:
        """Shape a row and what its version consists of."""
        return cls(
            id=skill.id,
            version=skill.version,
            created_at=skill.created_at,
            updated_at=skill.updated_at,
            is_active=skill.is_active,
            **_contents(content),
        )


class SkillVersionItem(Read):
    """A version in a list, without its texts; `created_by` is the name of the key that made it."""

    skill_id: str
    version: int
    name: str
    description: str | None
    created_at: Moment
    created_by: str | None


class SkillVersionRead(_Contents):
    """A skill as it was at one version; `created_by` is the name of the key that made it."""

    skill_id: str
    version: int
    created_at: Moment
    created_by: str | None

    @classmethod
    def of(cls, row: SkillVersion, content: Content) -> SkillVersionRead:
        """Shape a row and what it consists of."""
        return cls(skill_id=row.skill_id, version=row.version, created_at=row.created_at, created_by=row.created_by, **_contents(content))


def _contents(content: Content) -> dict[str, Any]:
    own = {name: getattr(content, name) for name in _Contents.model_fields if name not in {"files", "references", "scripts"}}
    return {
        **own,
        "references": [SkillTextRead(**text) for text in content.references],
        "scripts": [SkillTextRead(**text) for text in content.scripts],
        "files": [_file(file) for file in content.files],
    }


def _file(file: File) -> SkillFileRead:
    return SkillFileRead(path=file.path, size=len(file.content), sha256=file.sha256, executable=bool(file.mode & EXECUTABLE & 0o111))
