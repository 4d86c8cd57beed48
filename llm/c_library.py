"""Functions written in C, compiled for this very machine when they are first needed.

What was compiled is kept in the user's cache folder, under a digest of the source, the compiler,
its flags and the processor: half a second of a compiler is more than a process with ten documents
takes. It is loaded again only where nobody but this user, or root, can have written it, and where
it is whole.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from llm.cache_folder import cache_folder, keep

_DIGEST_BYTES = hashlib.sha256().digest_size
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def compiled(
    source: Path, flags: Sequence[str], without: str, libraries: Sequence[str] = ()
) -> ctypes.CDLL | None:
    """The functions of a C file, by the compiler that CC names, else `cc`; none, and a warning,
    where it compiles nothing or what it made cannot be loaded.

    A call of a function of it lets other threads of Python run meanwhile.

    Args:
        without: what happens then, for the warning.
    """
    found = _loaded(source, flags, libraries)
    if found is None:
        logging.getLogger(__name__).warning(
            "%s compiles nothing here, so %s; install a C compiler, or name one in CC",
            shlex.join(compiler()),
            without,
        )
    return found


def compiler() -> list[str]:
    """The command of the compiler: what CC names, else `cc`."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def compiles() -> bool:
    """Whether it makes something here that can be loaded."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "nothing.c"
        source.write_text("int nothing(void) { return 0; }\n", encoding="utf-8")
        made = _compiled(source, (), ())
        return made is not None and _library(source.stem, made) is not None


def is_kept(source: Path, flags: Sequence[str], libraries: Sequence[str] = ()) -> bool:
    """Whether `compiled` has it at once."""
    if shutil.which(compiler()[0]) is None:
        return False
    return _kept(_folder(), _file_name(source, flags, libraries)) is not None


def _folder() -> Path:
    return cache_folder() / "compiled"


def _loaded(source: Path, flags: Sequence[str], libraries: Sequence[str]) -> ctypes.CDLL | None:
    if shutil.which(compiler()[0]) is None:
        return None
    folder, name = _folder(), _file_name(source, flags, libraries)
    made = _kept(folder, name)
    if made is None:
        made = _compiled(source, flags, libraries)
        if made is None:
            return None
        kind, _, rest = name.partition("-")
        keep(folder, kind, rest, hashlib.sha256(made).digest() + made)
    return _library(source.stem, made)


def _file_name(source: Path, flags: Sequence[str], libraries: Sequence[str]) -> str:
    """What the library is kept as: whatever decides its code is in it."""
    digest = hashlib.sha256()
    program = shutil.which(compiler()[0])
    if program is not None:
        real = Path(program).resolve()
        digest.update(f"{real} {real.stat().st_size} {real.stat().st_mtime_ns}".encode())
    digest.update(shlex.join([*compiler(), *flags, "--", *libraries]).encode())
    digest.update(f"{platform.machine()} {_processor()}".encode())
    for file in (source, *sorted(source.parent.glob("*.h"))):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{source.stem}-{digest.hexdigest()[:32]}"


def _processor() -> str:
    """The kind of the first processor, on Linux: code made for one may not run on another."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as stream:
            first = stream.read(1 << 14).partition("\n\n")[0]
    except OSError:
        return platform.processor()
    told = ("model", "flags", "Features", "CPU ")
    return "\n".join(line for line in first.splitlines() if line.startswith(told))


def _kept(folder: Path, name: str) -> bytes | None:
    """A library that was kept, if it is whole and nobody else can have put it there."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            state = os.fstat(descriptor)
            if state.st_uid not in (os.geteuid(), 0) or state.st_mode & _OTHERS_WRITE:
                return None
            content = stream.read()
    except OSError:
        return None
    digest, made = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return made if hashlib.sha256(made).digest() == digest else None


def _compiled(source: Path, flags: Sequence[str], libraries: Sequence[str]) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{source.stem}.so"
        command = [*compiler(), *flags, "-shared", "-fPIC", "-o", str(made), str(source)]
        try:
            done = subprocess.run([*command, *libraries], capture_output=True, check=False)
        except FileNotFoundError:  # there is no such compiler
            return None
        return made.read_bytes() if done.returncode == 0 else None


def _library(name: str, made: bytes) -> ctypes.CDLL | None:
    """Load it from a folder of this process's own: what was looked at is what is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.so"
        path.write_bytes(made)
        try:
            return ctypes.CDLL(str(path))
        except OSError:  # a folder from which nothing may be run
            return None
