"""SKILL.md of the open Agent Skills format: read as strictly as its reference validator does, and written so that it accepts it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import yaml

from pointsman.skills.errors import SkillInvalid

MANIFEST = "SKILL.md"
LONGEST_NAME = 64
LONGEST_DESCRIPTION = 1024
LONGEST_COMPATIBILITY = 500
LONGEST_INSTRUCTIONS = 200_000

FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
_LONGEST_FRONTMATTER = 32_768
_FENCE = "---"
# Tools are separated by blanks or commas; what stands in parentheses is a pattern and may hold both.
_TOOL = re.compile(r"[^\s,(]+(?:\([^)]*\))?")
# What double quotes take as it is; the rest is escaped. The ranges are YAML's printable characters without its line breaks.
_UNPRINTABLE = re.compile("[^ -~\u00a0-\u1fff\u2010-\u2027\u202f-\ud7ff\ue000-\ufdcf\ufdf0-\ufefe\uff00-\ufffd\U00010000-\U0001fffd]")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a SKILL.md says. `instructions` is its body without blank lines around it."""

    name: str
    description: str
    instructions: str
    license: str | None = None
    compatibility: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    allowed_tools: list[str] = field(default_factory=list[str])


def read_manifest(data: bytes) -> Manifest:
    """Read a SKILL.md. Raises SkillInvalid, which says what is wrong with it and, where one can tell, how to mend it."""
    frontmatter, body = _parted(_text(data))
    found = _parsed(frontmatter)
    for name in found:
        if name not in FIELDS:
            raise SkillInvalid(f"The frontmatter of {MANIFEST} has a field {name[:100]!r}.", hint=f"Its fields are: {', '.join(FIELDS)}.")
    name, description = _required(found, "name").strip(), _required(found, "description")
    if (fault := name_fault(name)) is not None:
        raise SkillInvalid(f"The name {name[:100]!r} in {MANIFEST} cannot be a skill's: {fault}")
    if len(description) > LONGEST_DESCRIPTION:
        raise SkillInvalid(f"The description in {MANIFEST} has {len(description)} characters; {LONGEST_DESCRIPTION} are the most.")
    compatibility = _scalar(found, "compatibility")
    if len(compatibility or "") > LONGEST_COMPATIBILITY:
        raise SkillInvalid(f"The field compatibility in {MANIFEST} has more than {LONGEST_COMPATIBILITY} characters.")
    instructions = body.strip()
    if len(instructions) > LONGEST_INSTRUCTIONS:
        raise SkillInvalid(f"{MANIFEST} has more than {LONGEST_INSTRUCTIONS:,} characters.", hint="Move parts of it to references/.")
    return Manifest(
        name=name,
        description=description.strip(),
        instructions=instructions,
        license=_scalar(found, "license"),
        compatibility=compatibility,
        metadata=_mapping(found, "metadata"),
        allowed_tools=_tools(found.get("allowed-tools")),
    )


def write_manifest(manifest: Manifest) -> bytes:
    """The SKILL.md that reads as this. Values are quoted, so that nothing in them can be taken for YAML."""
    lines = [_FENCE, f"name: {_quoted(manifest.name)}", f"description: {_quoted(manifest.description)}"]
    lines += [f"{name}: {_quoted(value)}" for name in ("license", "compatibility") if (value := getattr(manifest, name))]
    if manifest.metadata:
        lines += ["metadata:", *(f"  {_quoted(name)}: {_quoted(value)}" for name, value in manifest.metadata.items())]
    if manifest.allowed_tools:
        lines.append(f"allowed-tools: {_quoted(' '.join(manifest.allowed_tools))}")
    return "\n".join([*lines, _FENCE, "", manifest.instructions, ""]).encode()


def name_fault(name: str) -> str | None:
    """Why this is no name of a skill in the format; None where it is one. Letters of any script are taken, as the format does."""
    name = unicodedata.normalize("NFKC", name)
    if not name:
        return "it is empty."
    if len(name) > LONGEST_NAME:
        return f"it has more than {LONGEST_NAME} characters."
    if name != name.lower():
        return f"it must be lower case: {name.lower()}."
    if name.startswith("-") or name.endswith("-") or "--" in name:
        return "hyphens stand alone and between other characters."
    if not all(character.isalnum() or character == "-" for character in name):
        return "it consists of letters, digits and hyphens."
    return None


def name_for(name: str, skill_id: str) -> str:
    """The name of a skill in the format: its own where that is one, else one made from it or from its id."""
    if name_fault(name) is None:
        return name
    return _slug(name) or _slug(skill_id) or "skill"


def tools_of(text: str) -> list[str]:
    """The tools of an `allowed-tools` line, each once."""
    return list(dict.fromkeys(_TOOL.findall(text)))


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_NAME].strip("-")


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SkillInvalid(f"{MANIFEST} is not UTF-8: byte {error.start}.", hint="Save it as UTF-8.") from None
    if "\0" in text:
        raise SkillInvalid(f"{MANIFEST} holds a NUL character.")
    if text.startswith("\ufeff"):
        raise SkillInvalid(f"{MANIFEST} begins with a byte order mark.", hint="Save it as UTF-8 without one.")
    return text


def _parted(text: str) -> tuple[str, str]:
    """The frontmatter with plain line ends, and the body as it is."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        raise SkillInvalid(f"{MANIFEST} does not begin with a frontmatter.", hint="Its first line is ---.")
    size = 0
    for index, line in enumerate(lines[1:], 1):
        size += len(line)
        if size > _LONGEST_FRONTMATTER:
            break
        if line.rstrip() == _FENCE:
            return _joined(lines[1:index]), "".join(lines[index + 1 :])
        if _FENCE in line:
            raise SkillInvalid(f"Line {index + 1} of {MANIFEST} has --- within the frontmatter, which readers take for its end.")
    raise SkillInvalid(f"The frontmatter of {MANIFEST} does not end.", hint="It ends with a line ---.")


def _joined(lines: list[str]) -> str:
    return "".join(line.replace("\r\n", "\n").replace("\r", "\n") for line in lines)


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = _value(yaml.parse(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - untyped
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 2}: " if error.problem_mark else ""
        raise SkillInvalid(f"The frontmatter of {MANIFEST} is not YAML: {line}{error.problem}.") from None
    except yaml.YAMLError as error:
        raise SkillInvalid(f"The frontmatter of {MANIFEST} is not YAML: {error}.") from None
    if not isinstance(value, dict):
        raise SkillInvalid(f"The frontmatter of {MANIFEST} must be a mapping.", hint="One field a line: `name: my-skill`.")
    return cast("dict[str, Any]", value)


def _value(events: Iterator[Any]) -> Any:
    """The document's mapping, with every scalar as text. Raises SkillInvalid for what the format leaves out of YAML."""
    stack: list[tuple[Literal["map", "list"], Any, list[str]]] = []
    root: Any = None
    for event in events:
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise SkillInvalid(f"The frontmatter of {MANIFEST} uses an anchor, an alias or a tag.", hint="Write the value itself.")
        if getattr(event, "flow_style", False):
            raise SkillInvalid(f"The frontmatter of {MANIFEST} has a value in brackets.", hint="Write one item a line, or plain text.")
        if isinstance(event, yaml.ScalarEvent):
            root = _placed(stack, root, event.value)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(stack) >= 2:
                raise SkillInvalid(f"The frontmatter of {MANIFEST} is nested too deep.")
            kind: Literal["map", "list"] = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
            made: Any = {} if kind == "map" else []
            root = _placed(stack, root, made)
            stack.append((kind, made, []))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            stack.pop()
    return root


def _placed(stack: list[tuple[Literal["map", "list"], Any, list[str]]], root: Any, value: Any) -> Any:
    if not stack:
        return value
    kind, holder, key = stack[-1]
    if kind == "list":
        holder.append(value)
    elif key:
        holder[key.pop()] = value
    elif not isinstance(value, str):
        raise SkillInvalid(f"The frontmatter of {MANIFEST} has a key that is no text.")
    elif value in holder:
        raise SkillInvalid(f"The frontmatter of {MANIFEST} has the key {value[:100]!r} twice.")
    else:
        key.append(value)
    return root


def _required(found: Mapping[str, Any], name: str) -> str:
    value = _scalar(found, name)
    if value is None or not value.strip():
        raise SkillInvalid(f"The frontmatter of {MANIFEST} has no {name}.", hint=f"Add a line `{name}: …`.")
    return value


def _scalar(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is not None and not isinstance(value, str):
        raise SkillInvalid(f"The field {name} in {MANIFEST} must be text.")
    return value


def _mapping(found: Mapping[str, Any], name: str) -> dict[str, str]:
    value: Any = found.get(name) or {}
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        if all(isinstance(item, str) for item in items.values()):
            return items
    raise SkillInvalid(f"The field {name} in {MANIFEST} must be a mapping of texts.")


def _tools(value: Any) -> list[str]:
    items = cast("list[Any]", value) if isinstance(value, list) else [value or ""]
    if not all(isinstance(item, str) for item in items):
        raise SkillInvalid(f"The field allowed-tools in {MANIFEST} must be text or a list of texts.")
    return list(dict.fromkeys(tool for item in items for tool in tools_of(item)))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    # Readers take three hyphens for the frontmatter's end, wherever they stand.
    escaped = escaped.replace(_FENCE, "\\x2d\\x2d\\x2d")
    return '"' + _UNPRINTABLE.sub(lambda found: f"\\U{ord(found[0]):08x}", escaped) + '"'
