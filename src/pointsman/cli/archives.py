"""Folders as attachments: the files that a job begins with."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

from pointsman.cli.exits import CommandRefused

_MOST = 10 * 1024 * 1024


def packed(folder: Path) -> dict[str, str]:
    """A folder as the attachment that is a supervised run's workspace. Raises CommandRefused."""
    if not folder.is_dir():
        raise CommandRefused(f"{folder} is no folder.", hint="Name the folder whose files the jobs are to begin with.")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name, filter=_anonymous)
    data = archive.getvalue()
    if len(data) > _MOST:
        raise CommandRefused(f"{folder} is {len(data)} bytes large, and {_MOST} is the most.", hint="Leave out what the jobs do not need.")
    return {"media_type": "application/x-tar", "data": base64.b64encode(data).decode()}


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without who owns it here, and without what Python left."""
    if "__pycache__" in member.name.split("/"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
