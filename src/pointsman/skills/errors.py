"""What can go wrong with skills."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class SkillNotFound(Problem):
    """No active skill has this id. A deleted skill counts as absent, and its versions with it.

    `GET /v2/skills?include_inactive=true` lists deleted skills too; creating or importing a skill with the same id brings a deleted one
    back as its next version, with all earlier versions readable again.
    """

    kind = Kind.NOT_FOUND
    code = "skill-not-found"
    title = "There is no such skill"


class SkillExists(Problem):
    """An active skill already has this id. An imported skill has its name as its id, unless you give another with `?id=`.

    Choose another id, change the existing skill with `PATCH /v2/skills/{id}`, or import with `?replace=true`, which makes its next version.
    """

    kind = Kind.CONFLICT
    code = "skill-exists"
    title = "A skill with this id exists"


class SkillVersionNotFound(Problem):
    """The skill has no version of this number. `GET /v2/skills/{id}/versions` lists those it has."""

    kind = Kind.NOT_FOUND
    code = "skill-version-not-found"
    title = "There is no such version of the skill"


class SkillInvalid(Problem):
    """The folder is no skill of the open Agent Skills format; the detail says what its SKILL.md lacks.

    A skill is a folder with a file `SKILL.md` that begins with a YAML frontmatter between two lines `---`: `name` (lower case letters,
    digits and single hyphens, at most 64 characters), `description` (at most 1,024 characters) and optionally `license`,
    `compatibility`, `metadata` and `allowed-tools`. `pointsman skills validate DIR` says the same without a gateway.
    """

    kind = Kind.INVALID
    code = "skill-invalid"
    title = "This is no valid skill"


class SkillArchiveRefused(Problem):
    """The upload cannot be taken as a skill's folder.

    It is no zip, it is encrypted, or a name in it is absolute, leads out of the folder, stands there twice or is a link. Zip the
    skill's folder itself, with plain files alone, or send its files as several parts. Nothing was stored.
    """

    kind = Kind.INVALID
    code = "skill-archive-refused"
    title = "The upload is no folder of a skill"


class SkillTooLarge(Problem):
    """The skill has more or larger files than a skill may have, unpacked; the detail names the bound.

    Leave out what the skill does not need, such as caches and build output.
    """

    kind = Kind.TOO_LARGE
    code = "skill-too-large"
    title = "The skill is too large"


class SkillScriptRefused(Problem):
    """A file of a skill cannot be had, or a script of it is not run; the detail says why.

    A run works with the version of a skill that it began with, and a script is run only while that is the newest one still: so that what a
    skill's editor took back is not run any more. Models read this; what they can do stands in it.
    """

    kind = Kind.INVALID
    code = "skill-script-refused"
    title = "The skill's script is not run"


class SkillUnknown(Problem):
    """The agent's `config.skills` names a skill that does not exist or was deleted.

    `GET /v2/skills` lists the skills there are; the detail suggests one where a name is close.
    """

    kind = Kind.INVALID
    code = "skill-unknown"
    title = "There is no such skill to give to an agent"


class SkillMissing(Problem):
    """A skill that the agent was given has been deleted since, so the agent cannot run as it is described.

    Create or import the skill again, or take it out of the agent's `config.skills`.
    """

    kind = Kind.CONFLICT
    code = "skill-missing"
    title = "A skill of the agent is gone"
