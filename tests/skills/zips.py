"""Zips as people and as attackers make them."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from tests.skills.collection import Folder

MANIFEST = b"---\nname: small\ndescription: A small skill.\n---\nBe brief.\n"


def zipped(folder: Folder, *, top: str | None = None) -> bytes:
    """As `zip -r` does it: with modes and entries of folders, below the folder's name."""
    prefix = folder.name if top is None else top
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        if prefix:
            archive.mkdir(prefix)
        for path, content in folder.files.items():
            entry = zipfile.ZipInfo(f"{prefix}/{path}" if prefix else path, (2024, 5, 17, 12, 30, 0))
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | folder.mode(path)) << 16
            archive.writestr(entry, content)
    return data.getvalue()


def zip_of(*entries: tuple[str | zipfile.ZipInfo, bytes], manifest: bool = True) -> bytes:
    """Exactly these entries, after a good SKILL.md."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        if manifest:
            archive.writestr("small/SKILL.md", MANIFEST)
        for entry, content in entries:
            archive.writestr(entry, content)
    return data.getvalue()


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    return entry


def unzipped(data: bytes, folder: Path) -> Path:
    """The one folder of the zip, laid out with its modes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            path = folder / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(entry))
            path.chmod(entry.external_attr >> 16 & 0o777)
        (top,) = {entry.filename.partition("/")[0] for entry in archive.infolist()}
    return folder / top
