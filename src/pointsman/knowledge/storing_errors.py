"""How keeping and taking files fails."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class TooLarge(Problem):
    """The file has more bytes than the gateway takes, whether it was sent or fetched from a URI. Nothing of it was kept.

    Split it, or have the operator raise `POINTSMAN_LIMITS__UPLOAD_BYTES`; `limit_bytes` says what it is.
    """

    kind = Kind.TOO_LARGE
    code = "file-too-large"
    title = "The file is too large"


def too_large(most: int) -> TooLarge:
    """The problem of a file with more than `most` bytes."""
    return TooLarge(f"The file has more than {most} bytes.", hint="Split it, or ask the operator to take larger ones.", limit_bytes=most)


class ObjectMissing(Problem):
    """The stored file is not in the object store: it was deleted there, or the operator has set another store since.

    Upload the file again.
    """

    kind = Kind.NOT_FOUND
    code = "object-missing"
    title = "The stored file is not there"


class StoreFailed(Problem):
    """The object store could not be used: it is not reachable, full, or does not accept the gateway's credentials. Nothing was kept.

    Try again; if it happens again, the operator finds the reason in the detail and the settings in `POINTSMAN_KNOWLEDGE__STORE`.
    """

    kind = Kind.UPSTREAM
    code = "store-failed"
    title = "The object store failed"


class SourceRefused(Problem):
    """The URI may not be taken as a file: its scheme is none that is known, or it lies outside what the operator allows.

    `https://` URLs are taken from public hosts. `file://` URIs are taken below `POINTSMAN_KNOWLEDGE__FILE_ROOTS`; `s3://`, `gs://` and `az://`
    URIs below those of `POINTSMAN_KNOWLEDGE__SOURCES`. Upload the file instead, or ask the operator to add its place.
    """

    kind = Kind.INVALID
    code = "source-refused"
    title = "The file may not be taken from there"


class SourceMissing(Problem):
    """There is no file at the URI, or none that can be read."""

    kind = Kind.INVALID
    code = "source-missing"
    title = "There is no file at the URI"
