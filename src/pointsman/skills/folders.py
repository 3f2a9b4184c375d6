"""A skill's folder as a value: its files with their modes, checked before anything is kept of them, and packed again as they were."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pointsman.skills.errors import SkillArchiveRefused, SkillTooLarge
from pointsman.skills.format import MANIFEST

MOST_FILES = 500
MOST_BYTES = 8 * 2**20
PLAIN, EXECUTABLE = 0o644, 0o755

_MOST_ENTRIES = 5000  # of the zip's directory, folders and what packers of some systems add included
_ADDED = "__MACOSX/"
_DEEPEST = 12
_LONGEST_STEP, _LONGEST_PATH = 255, 1000  # bytes, as most file systems count
_SUFFIXES_OF_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_UTF8_NAME, _ENCRYPTED = 0x800, 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_MIDNIGHT = (1980, 1, 1, 0, 0, 0)  # the same skill is the same archive, whenever it is exported


class File(NamedTuple):
    """A file of a skill; `path` is below the skill's folder, with slashes; `mode` its permission bits."""

    path: str
    mode: int
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def text(self) -> str | None:
        """The content as text; None where a text column could not hold it."""
        return text_of(self.content)


def text_of(content: bytes) -> str | None:
    """UTF-8 without NUL, every line end as it is; None where it is not."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def is_zip(data: bytes) -> bool:
    """Whether it begins as one does."""
    return data[:4] in _SUFFIXES_OF_ZIP


def unpack_zip(data: bytes) -> list[File]:
    """The files of a zip, below the one folder that holds them all. Raises SkillArchiveRefused, SkillTooLarge."""
    # Counted before it is parsed: an entry of the directory costs ten times its size in memory.
    if data.count(b"PK\x01\x02") > _MOST_ENTRIES:
        raise SkillTooLarge(f"The zip has more than {_MOST_ENTRIES} entries.", hint=f"A skill has at most {MOST_FILES} files.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return folder_of(_members(archive))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, struct.error, UnicodeError, OverflowError) as error:
        raise SkillArchiveRefused(f"The zip cannot be read: {error}.", hint="Zip the folder again.") from None
    except (RuntimeError, ValueError, OSError) as error:
        raise SkillArchiveRefused(f"The zip cannot be read: {error}.", hint="Use a plain zip, deflated or stored.") from None


def folder_of(files: Iterable[File]) -> list[File]:
    """The files by path, without the folder that all of them lie in. Raises SkillArchiveRefused, SkillTooLarge."""
    found = list(files)
    tops = {file.path.partition("/")[0] for file in found}
    if len(tops) == 1 and all("/" in file.path for file in found):
        found = [file._replace(path=file.path.partition("/")[2]) for file in found]
    elif not any(file.path == MANIFEST for file in found) and any(file.path.endswith(f"/{MANIFEST}") for file in found):
        raise SkillArchiveRefused("The upload has several folders.", hint="Import one skill at a time.")
    _require_a_manifest(found)
    _require_apart([file.path for file in found])
    _require_bounded(found)
    return sorted(found)


def require_path(path: str) -> str:
    """The path, if it names a file below the skill's folder on any system. Raises SkillArchiveRefused."""
    steps = path.split("/")
    shown = repr(path[:200])
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in path):
        raise SkillArchiveRefused(f"The name {shown} has a control character.")
    if path.startswith("/") or "\\" in path or (len(steps[0]) > 1 and steps[0][1] == ":"):
        raise SkillArchiveRefused(f"The name {shown} is absolute or has a backslash.", hint="Names are relative, with slashes.")
    if any(step in {"", ".", ".."} for step in steps):
        raise SkillArchiveRefused(f"The name {shown} leads out of the folder, or has an empty step.")
    if len(path.encode()) > _LONGEST_PATH or any(len(step.encode()) > _LONGEST_STEP for step in steps):
        raise SkillArchiveRefused(f"The name {shown} is too long.", hint=f"At most {_LONGEST_STEP} bytes a step, {_LONGEST_PATH} in all.")
    if len(steps) > _DEEPEST:
        raise SkillArchiveRefused(f"The name {shown} is more than {_DEEPEST} folders deep.")
    return path


def pack_zip(folder: str, files: Sequence[File]) -> bytes:
    """A zip of the folder, the same for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files, key=lambda file: (file.path != MANIFEST, file.path)):
            entry = zipfile.ZipInfo(f"{folder}/{file.path}", _MIDNIGHT)
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | file.mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.content)
    return packed.getvalue()


def pack_tar(files: Sequence[File]) -> bytes:
    """A tar of the files, for a sandbox; everybody there may read and run them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode = len(file.content), file.mode | EXECUTABLE
            archive.addfile(entry, io.BytesIO(file.content))
    return packed.getvalue()


def _members(archive: zipfile.ZipFile) -> Iterator[File]:
    left = MOST_BYTES
    for entry in archive.infolist():
        name = _name_of(entry)
        if name.startswith(_ADDED):
            continue
        _require_plain(entry, name)
        if name.endswith("/"):
            require_path(name[:-1])
            continue
        if entry.file_size > left:
            raise _too_large()
        with archive.open(entry) as source:
            content = source.read(left + 1)
        left -= len(content)
        if left < 0:
            raise _too_large()
        mode = entry.external_attr >> 16 & 0o777 if entry.create_system == 3 else 0
        yield File(require_path(name), mode or PLAIN, content)


def _name_of(entry: zipfile.ZipInfo) -> str:
    """The name as it was written: what is not marked as UTF-8 mostly is nevertheless."""
    # `filename` ends at the first NUL, which would hide the rest of it.
    name = entry.orig_filename
    if entry.flag_bits & _UTF8_NAME:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _require_plain(entry: zipfile.ZipInfo, name: str) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise SkillArchiveRefused(f"The file {name[:200]!r} in the zip is encrypted.", hint="Zip the folder without a password.")
    if entry.compress_type not in _METHODS:
        raise SkillArchiveRefused(f"The file {name[:200]!r} is compressed in a way that is not read.", hint="Use deflate, or store it.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.create_system == 3 and kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise SkillArchiveRefused(f"{name[:200]!r} in the zip is a link or a device.", hint="Put the file itself there.")


def _require_a_manifest(files: Sequence[File]) -> None:
    names = {file.path for file in files}
    if MANIFEST in names:
        return
    close = next((name for name in names if name.lower() == MANIFEST.lower()), None)
    hint = f"Rename {close} to {MANIFEST}." if close else "Zip the folder that has it, or put it at the top of the upload."
    raise SkillArchiveRefused(f"The upload has no {MANIFEST}.", hint=hint)


def _require_apart(paths: Sequence[str]) -> None:
    """No name twice, also where a file system takes two spellings for one, and no file where a folder is."""
    seen: dict[str, str] = {}
    for path in paths:
        key = unicodedata.normalize("NFC", path).casefold()
        if key in seen:
            raise SkillArchiveRefused(f"The upload has {path[:200]!r} twice, or names that only differ in case.")
        seen[key] = path
    for key, path in seen.items():
        steps = key.split("/")
        if any("/".join(steps[:count]) in seen for count in range(1, len(steps))):
            raise SkillArchiveRefused(f"A folder of {path[:200]!r} is a file in the same upload.")


def _require_bounded(files: Sequence[File]) -> None:
    if len(files) > MOST_FILES:
        raise SkillTooLarge(f"The skill has {len(files)} files; {MOST_FILES} are the most.")
    if sum(len(file.content) for file in files) > MOST_BYTES:
        raise _too_large()


def _too_large() -> SkillTooLarge:
    return SkillTooLarge(f"The files of the skill have more than {MOST_BYTES >> 20} MB.")
