"""The reward of a program: 1 where the checks that belong to its prompt pass, else 0."""

from __future__ import annotations

import re

from llm.alignment.rewards.rollout import Reward, Rollout, of_each
from llm.process.confined import run_confined

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)


def code(seconds: float, memory_bytes: int) -> Reward:
    """The answer's first fenced block, or all of it, is Python that runs to its end with the
    expected answer (a program too: assertions about it) behind it, confined as in
    `llm.process.confined`.

    The checks run in the program's process: one made to deceive them, and not only to leave before
    them, can.

    Raises (when called):
        ConfinementError: this machine cannot confine programs.
    """

    def judge(rollout: Rollout) -> bool:
        fenced = _FENCED.search(rollout.answer)
        program = fenced[1] if fenced else rollout.answer
        if not program.strip():
            return False
        whole = f"{program}\n\n{rollout.expected}\n"
        return run_confined(whole, seconds, memory_bytes).fate == "done"

    return of_each(judge)
