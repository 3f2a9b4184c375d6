"""A container image made of this machine's own programs: no registry is asked."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = """
    bash cat chmod cp cut date dd dash du echo env false find grep head hostname id kill ln ls mkdir mv nohup nproc ps pwd python3
    readlink rm sed seq setsid sh sleep sort stat sync tail tar tee test timeout touch tr true uname unshare wc xargs yes
"""
_LIBRARY = re.compile(r"(/\S+)(?= \(0x)")


def machine_image() -> bytes:
    """A tar of shells, the usual small programs and the system's Python, with the libraries that they load."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as image:
        for folder in ("tmp", "proc", "sys", "dev", "etc", "run", "workspace"):
            image.addfile(_folder(folder))
        for name, path in sorted(_files().items()):
            image.add(path, name, recursive=False)
    return packed.getvalue()


def _folder(name: str) -> tarfile.TarInfo:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    return folder


def _files() -> dict[str, Path]:
    """Where each file stands in the image (merged /usr: nothing lies behind a linked folder) and where it is here."""
    files = {name: Path(name) for name in ("bin", "lib", "lib64")}
    files = {name: Path("/", name) for name in files if Path("/", name).is_symlink()}
    python = Path(shutil.which("python3", path=SYSTEM_PATH) or "").resolve()
    for program in PROGRAMS.split():
        found = shutil.which(program, path=SYSTEM_PATH)
        if found is None:
            continue
        files |= _linked(Path(found))
        for library in _libraries(Path(found).resolve()):
            files |= _linked(library)
    for path in _standard_library(python):
        files[str(path).lstrip("/")] = path
        for library in _libraries(path) if path.suffix == ".so" else ():
            files |= _linked(library)
    return files


def _linked(path: Path) -> dict[str, Path]:
    real = path.resolve()
    return {str(each).lstrip("/"): real for each in (path.parent.resolve() / path.name, real)}


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return [Path(found) for found in _LIBRARY.findall(listed)]


def _standard_library(python: Path) -> Iterator[Path]:
    asked = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], capture_output=True, text=True, check=True
    )
    left_out = {"__pycache__", "test", "idlelib", "tkinter", "ensurepip", "site-packages", "dist-packages", "lib2to3", "pydoc_data"}
    for path in Path(asked.stdout.strip()).rglob("*"):
        if path.is_file() and not left_out & set(path.parts):
            yield path
