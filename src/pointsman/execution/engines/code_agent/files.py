"""Single text files of a workspace, read and written through the sandbox."""

from __future__ import annotations

import io
import tarfile

from pointsman.execution.ports import Sandbox

_MOST = 4 * 2**20


class FileError(ValueError):
    """It is not there, or is no text; the message is for the model."""


async def read_text(sandbox: Sandbox, path: str) -> tuple[str, int]:
    """The text of a file and its mode. Raises FileError, TargetFailed."""
    with tarfile.open(fileobj=io.BytesIO(await sandbox.download([path]))) as tar:
        member = next((one for one in tar if one.name.removeprefix("./") == path), None)
        if member is None:
            raise FileError(f"There is no file {path}.")
        if member.issym():
            raise FileError(f"{path} is a link to {member.linkname}.")
        content = tar.extractfile(member)
        if content is None:
            raise FileError(f"{path} is no file.")
        if member.size > _MOST:
            raise FileError(f"{path} has {member.size} bytes, too many to be read as a text.")
        data = content.read()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FileError(f"{path} is no text.") from None
    if "\0" in text:
        raise FileError(f"{path} is no text.")
    return text, member.mode


async def write_text(sandbox: Sandbox, path: str, text: str, mode: int = 0o644) -> None:
    """Write a file, with the folders above it. Raises TargetFailed."""
    data = text.encode(errors="replace")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(data), mode
        tar.addfile(member, io.BytesIO(data))
    await sandbox.upload(archive.getvalue())


def numbered(text: str, first: int, lines: int, most: int) -> str:
    """Lines with their numbers, as many as are asked for and fit into `most` characters."""
    every = text.splitlines()
    shown: list[str] = []
    room = most
    for number, line in enumerate(every[first - 1 : first - 1 + lines], first):
        shown.append(f"{number:>5}  {line}")
        room -= len(line) + 8
        if room < 0:
            break
    left = len(every) - (first - 1 + len(shown))
    return "\n".join(shown) + (f"\n[{left} more lines]" if left > 0 else "")
