"""`python -m llm.alignment run.json`: one alignment run; see docs/stage-contract.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llm.alignment.channel import Channel
from llm.alignment.run_file import DpoRun, SftRun, read_run
from llm.process.parent import TERMINATED, StoppedError, StopRequest, exit_with_parent


def main(path: Path) -> int:
    """The exit code: 0 = done, 1 = failed, 143 = stopped, to go on later."""
    channel = Channel()
    exit_with_parent()
    stop = StopRequest()
    try:
        run = read_run(path)
        _environment(run)
        return _train(run, channel, stop)
    except Exception as problem:  # noqa: BLE001 - the launcher shows it; a traceback goes to its log
        import traceback

        traceback.print_exc()
        channel.error(problem)
        return 1


def _environment(run: SftRun | DpoRun) -> None:
    """Before the libraries are imported: no network, no cache outside the scratch folder."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HOME"] = str(Path(run.scratch) / "huggingface")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # TRL refuses several visible GPUs in one process.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def _train(run: SftRun | DpoRun, channel: Channel, stop: StopRequest) -> int:
    from llm.alignment.methods import dpo, sft
    from llm.training.devices import MEMORY_ERRORS, DoesNotFitError, is_out_of_memory

    try:
        if isinstance(run, SftRun):
            sft.train(run, channel, stop)
        else:
            dpo.train(run, channel, stop)
    except StoppedError as stopped:
        channel.log(str(stopped))
        return TERMINATED
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error):
            raise
        raise DoesNotFitError(
            f"memory does not suffice ({str(error) or type(error).__name__}); set "
            f"{run.method}.micro_batch_size to a smaller divisor of batch_size, or lower "
            "max_length; if rows were being scored, score_tokens"
        ) from error
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
