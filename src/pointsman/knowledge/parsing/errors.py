"""How reading a file fails."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class Unreadable(Problem):
    """The file cannot be read: it is damaged, encrypted, empty, of another kind than its name says or of none known, or takes too much.

    The detail says which. Trying again changes nothing: upload another version of the file.
    """

    kind = Kind.INVALID
    code = "file-unreadable"
    title = "The file cannot be read"


class ParsingUnavailable(Problem):
    """Files are not read on this host, because it has no means to keep what reads them apart from everything else.

    Files come from anybody, so they are only read in a sandbox; the detail says what it lacks here, and the hint what to do.
    """

    kind = Kind.UNAVAILABLE
    code = "parsing-unavailable"
    title = "Files cannot be read here"
