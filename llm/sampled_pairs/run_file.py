"""What a run that makes pairs of a model's own answers is told: run.json as one frozen record.

The key of a judge is not in it: it stays in the environment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from llm.alignment.rewards.rules import PartSettings
from llm.alignment.run_file import content_digest
from llm.evaluation.judge.rubric import Criterion
from llm.process.run_file import from_record, read_record
from llm.training.run_file import CudaOrCpu

# Where files lie is no part of what is computed.
_PATHS = ("results", "scratch", "replies")


@dataclass(frozen=True)
class JudgePart:
    """A language model's grade among the rewards, 0 to 1.

    Attributes:
        weight: in the sum; 0 = none is asked.
        criterion: what it grades by.
        base_url, model, max_reply_tokens, temperature, key_variable, timeout, tries, first_wait,
            longest_retry_after, concurrency, max_calls: as of `llm.evaluation.judge`.
    """

    weight: float
    criterion: Criterion
    base_url: str
    model: str
    max_reply_tokens: int
    temperature: float
    key_variable: str
    timeout: float
    tries: int
    first_wait: float
    longest_retry_after: float
    concurrency: int
    max_calls: int


@dataclass(frozen=True)
class Run:
    """Answers of one model to prompts, and pairs of the best and the worst of each.

    Attributes:
        model: folder of the model that answers.
        examples: Parquet files of instructions, whose last answers are the expected ones.
        max_prompts: prompts answered at most, the first by seeded hash; 0 = all.
        samples: answers to a prompt.
        new_tokens: of an answer at most.
        temperature, top_p: answers are drawn at.
        max_length: tokens of prompt and answer; 0 = the model's context.
        min_gap: by which the best answer's reward has to exceed the worst one's.
        rewards: parts of the reward; reward_model: folder of the reward model, "" = none.
        judge: a language model's part.
        seed: of draws, and of which prompts are answered.
        score_tokens: of a forward pass of the reward model.
        device, threads: 0 = as torch chooses.
        replies: folder that keeps the judge's replies from run to run.
        results: folder for the tables and counts.json; scratch: folder for what is done by now.
        execution: names of settings that say how to run, not what.
    """

    model: str
    examples: tuple[str, ...]
    max_prompts: int
    samples: int
    new_tokens: int
    temperature: float
    top_p: float
    max_length: int
    min_gap: float
    rewards: list[PartSettings]
    reward_model: str
    judge: JudgePart
    seed: int
    score_tokens: int
    device: CudaOrCpu
    threads: int
    replies: Path
    results: Path
    scratch: Path
    execution: tuple[str, ...]

    @property
    def asks_a_judge(self) -> bool:
        """Whether a language model grades answers."""
        return self.judge.weight != 0


def read(path: Path) -> Run:
    """The run a file describes.

    Raises:
        RunFileError: see `llm.process.run_file`.
    """
    return from_record(Run, read_record(path), str(path))


def draw_digest(run: Run) -> str:
    """sha256 of what decides over the answers and what rewards give to them: what one run left
    behind serves no other. How pairs are made of them is no part of it."""
    record = asdict(run)
    for name in {"execution", "judge", "min_gap", "max_prompts", *_PATHS, *run.execution}:
        del record[name]
    return content_digest(record, ("model", "reward_model"))
