"""Replies of judges, kept by what was asked, so that nothing is asked (and paid) twice.

A file a reply, in a folder that outlives runs and attempts. It is written aside and renamed, so
that a process killed in between leaves either all of it or nothing. What is kept is the reply as it
came, with the code of its fence: verdicts are read from it anew each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from llm.evaluation.judge.endpoint import JudgeSettings, Reply
from llm.evaluation.judge.rubric import Criterion, rubric


@dataclass(frozen=True)
class Question:
    """One call: grade one answer, or compare two as they stand.

    Attributes:
        prompt: the conversation the answers reply to, as text.
    """

    criterion: Criterion
    prompt: str
    answers: tuple[str, ...]

    def key(self, settings: JudgeSettings) -> str:
        """Hex SHA-256 of all that a verdict depends on: texts, rubric, model and settings."""
        told = rubric(self.criterion, len(self.answers))
        parts = [told, self.prompt, list(self.answers), asdict(settings)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class KeptReply:
    """A reply, and the code that its verdict has to carry.

    Attributes:
        refusal: what the endpoint said where it refused the call; then `reply` is empty.
    """

    code: str
    reply: Reply
    refusal: str


class Replies:
    """The folder of replies; threads may share it, and so may processes.

    Args:
        folder: made when the first reply is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> KeptReply | None:
        """What was kept; None also for a file that is no reply, which is then asked for anew."""
        try:
            record = json.loads(self._path(key).read_text(encoding="utf-8"))
            return KeptReply(record["code"], Reply(**record["reply"]), record["refusal"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def keep(self, key: str, kept: KeptReply) -> None:
        """Keep a reply."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        aside.write_text(json.dumps(asdict(kept)), encoding="utf-8")
        aside.replace(path)

    def forget(self, key: str) -> None:
        """Ask for this one again next time."""
        with contextlib.suppress(FileNotFoundError):
            self._path(key).unlink()
