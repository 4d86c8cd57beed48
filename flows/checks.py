"""What on this machine stands in the way of Ingot, and the way out of each. Nothing is changed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import psutil

from flows.home import home_url, local_home, require_writable
from flows.processes import find_process, log_file
from flows.server import find_server, healthy
from llm.c_library import compiler, compiles
from llm.corpus.annotate.language_model import LanguageModelMissingError, installed
from llm.process.safe_path import CHECKOUT
from tasks.engine.errors import IngotError
from tasks.panels.numbers import counted, size

# What the quickstart needs, with room for a second attempt.
_ROOM, _MEMORY = 4 * 10**9, 4 * 2**30
_NAMED = 5


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        verdict: "bad" = something will fail; "warn" = it will be slow, or may fail later.
        way_out: what to do; "" where nothing is.
    """

    name: str
    verdict: Literal["ok", "warn", "bad"]
    said: str
    way_out: str = ""


def checks() -> list[Check]:
    """All of them; of a home that is of no use nothing is asked that lies in it."""
    found = [each() for each in _OF_THE_MACHINE]
    home = _home()
    found.append(home)
    return found if home.verdict == "bad" else [*found, *(each() for each in _OF_THE_HOME)]


def _python() -> Check:
    return Check("python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def _packages() -> Check:
    """The installed versions against those that are known to work together."""
    lock = CHECKOUT / "requirements.lock"
    if not lock.is_file():
        return Check("packages", "warn", f"{lock} is not there to compare with")
    missing = sorted(_missing())
    if missing:
        shown = ", ".join(missing[:_NAMED])
        return Check("packages", "bad", f"not installed: {shown}", "run `make setup`")
    other = list(_differing(lock))
    if other:
        said = f"{counted(len(other), 'package')} of another version than the lock file's: "
        way_out = "run `make setup`, or `pip install --constraint requirements.lock -e .`"
        return Check("packages", "warn", said + ", ".join(other[:_NAMED]), way_out)
    return Check("packages", "ok", "as requirements.lock has them")


def _missing() -> Iterator[str]:
    """What Ingot itself requires, extras apart, and is not there."""
    try:
        wanted = requires("ingot") or []
    except PackageNotFoundError:
        yield "ingot"
        return
    for line in wanted:
        named = re.match(r"[A-Za-z0-9._-]+", line)
        if named is None or "extra ==" in line:
            continue
        try:
            version(named[0])
        except PackageNotFoundError:
            yield named[0]


def _differing(lock: Path) -> Iterator[str]:
    for line in lock.read_text(encoding="utf-8").splitlines():
        pinned = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if pinned is None:
            continue
        name, wanted = pinned.groups()
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # of an extra that is not installed
        if found.partition("+")[0] != wanted.partition("+")[0]:
            yield f"{name} {found} (lock {wanted})"


def _compiler() -> Check:
    command = shlex.join(compiler())
    if compiles():
        return Check("compiler", "ok", command)
    said = f"{command} compiles nothing: signatures, counts and generation take Python's way"
    way_out = "install a C compiler (Debian: `apt-get install gcc`), or name one in CC"
    return Check("compiler", "warn", said, way_out)


def _language_model() -> Check:
    try:
        place = installed()
    except LanguageModelMissingError as error:
        return Check("language model", "bad", str(error), "run `make setup` once with a network")
    return Check("language model", "ok", str(place))


def _home() -> Check:
    place = home_url()
    try:
        require_writable()
    except IngotError as error:
        return Check("home", "bad", str(error), "see the message")
    if "://" in place:
        return Check("home", "ok", f"{place}; this machine's own files in {local_home()}")
    free = shutil.disk_usage(local_home()).free
    if free < _ROOM:
        way_out = "`ingot gc` lists what can go; INGOT_HOME names another place"
        return Check("home", "warn", f"{place}, {size(free)} free", way_out)
    return Check("home", "ok", f"{place}, {size(free)} free")


def _memory() -> Check:
    found = psutil.virtual_memory()
    said = f"{size(found.available)} of {size(found.total)} free, {counted(_cores(), 'core')}"
    if found.available < _MEMORY:
        return Check("memory", "warn", said, "end other programs, or give stages fewer workers")
    return Check("memory", "ok", said)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _gpu() -> Check:
    if shutil.which("nvidia-smi") is None:
        return Check("gpu", "ok", "none (no nvidia-smi); models are trained on the CPU")
    try:
        build = version("torch").partition("+")[2]
    except PackageNotFoundError:
        build = ""
    if build == "cpu":
        way_out = "install a CUDA build of the version in requirements.lock (pytorch.org says how)"
        return Check("gpu", "warn", "there is one, and torch is built for CPUs alone", way_out)
    return Check("gpu", "ok", "nvidia-smi is there, and torch is no CPU build")


def _server() -> Check:
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        if healthy(configured):
            return Check("server", "ok", f"{configured}, as PREFECT_API_URL says")
        said = f"PREFECT_API_URL names {configured}, which does not answer"
        way_out = "start that server, or unset PREFECT_API_URL to use one of this home's own"
        return Check("server", "bad", said, way_out)
    url = find_server()
    if url:
        return Check("server", "ok", url.removesuffix("/api"))
    if find_process("server") is not None:
        said = f"it runs and does not answer; its log is {log_file('server')}"
        return Check("server", "warn", said, "wait, or `ingot down`, then `ingot up`")
    return Check("server", "ok", "not running; `ingot up` and `ingot run` start it")


def _worker() -> Check:
    if find_process("worker-cpu") is not None:
        return Check("worker", "ok", "the one for the pool cpu runs")
    if find_server() is None:
        return Check("worker", "ok", "not running; `ingot up` starts it")
    said = "none runs here: what is started from the UI, or by schedule, waits"
    return Check("worker", "warn", said, "`ingot up`")


_OF_THE_MACHINE: tuple[Callable[[], Check], ...] = (
    _python,
    _packages,
    _compiler,
    _language_model,
    _memory,
    _gpu,
)
_OF_THE_HOME: tuple[Callable[[], Check], ...] = (_server, _worker)
