"""`python -m llm.sampled_pairs run.json`: pairs of a model's own answers; see
docs/stage-contract.md.

SIGTERM simply ends it: what is drawn and graded is kept as it comes.
"""

from __future__ import annotations

import os
import sys

from llm.process.main import run_launched
from llm.sampled_pairs.run_file import Run, read


def main(arguments: list[str]) -> int:
    """Make pairs; the exit code."""
    return run_launched("llm.sampled_pairs", arguments, read, _make)


def _make(run: Run) -> None:
    from llm.alignment.reporter import Reporter
    from llm.evaluation.judge.endpoint import JudgeKeyError
    from llm.sampled_pairs.making import make
    from llm.training.devices import advise_on_memory

    variable = run.judge.key_variable if run.asks_a_judge else ""
    key = os.environ.pop(variable, "") if variable else ""
    if variable and not key:
        raise JudgeKeyError(
            f"the variable {variable} is not set; set it to the key of the judge, or name another "
            "by pairs.key_variable (empty where the endpoint asks for none)"
        )
    with advise_on_memory("lower pairs.samples, new_tokens or score_tokens"):
        make(run, key, Reporter())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
