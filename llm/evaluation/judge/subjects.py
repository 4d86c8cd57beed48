"""What a run has judged: answers of its models and of others, and pairs of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from llm.evaluation.judge.comparisons import Answer, Comparison, Label, as_text
from llm.evaluation.judge.files import read_answers, read_pairs
from llm.evaluation.judge.judging import Work
from llm.evaluation.judge.run_file import Run
from llm.evaluation.validation_examples import validation_examples

PREFERENCES = "preferences"  # the source of labels that are choices of examples


def subjects(run: Run, report: Callable[[str, int, int], None]) -> tuple[Work, dict[str, int]]:
    """What there is to judge, and how many validation rows are no prompt, by reason.

    Raises:
        EvaluationFileError, JudgedFileError: a file is not what it should be.
        ModelFolderError, DeviceError: a model cannot be loaded.
    """
    pairs = [pair for file in run.pairs for pair in read_pairs(file.path, file.name)]
    answers: dict[str, Sequence[Answer]] = {}
    left_out: dict[str, int] = {}
    if run.models:
        answers, left_out = _own(run, report)
    answers |= {file.name: read_answers(file.path, file.path.name) for file in run.answers}
    pairs += _chosen(run)
    return (
        Work(
            answers,
            pairs,
            run.against,
            run.criteria,
            run.compare,
            run.grade,
            run.resamples,
            run.seed,
        ),
        left_out,
    )


def _own(
    run: Run, report: Callable[[str, int, int], None]
) -> tuple[dict[str, Sequence[Answer]], dict[str, int]]:
    """The answers of the models of the chain, and the rows that are no prompt, by reason."""
    import torch  # seconds, for files alone in vain

    from llm.evaluation.judge.own_answers import own_answers, prompts

    if run.threads:
        torch.set_num_threads(run.threads)
    rows = validation_examples(run.instructions, ["messages"], run.max_prompts)
    more = validation_examples(run.preferences, ["prompt"], run.max_prompts)
    asked = prompts(rows, more, run.models, run.max_prompts)
    found: dict[str, Sequence[Answer]] = {}
    for named in run.models:
        told = partial(report, f"{named.name}: answer")
        found[named.name] = own_answers(named, asked, run.new_tokens, run.device, told)
    return found, asked.left_out


def _chosen(run: Run) -> Iterator[Comparison]:
    """Validation preferences as pairs that people labelled.

    Which answer comes first is a matter of doc_id, so that the label is not always the same: kappa
    knows no agreement with a constant.
    """
    if not run.max_preferences:
        return
    columns = ["prompt", "chosen", "rejected"]
    for row in validation_examples(run.preferences, columns, run.max_preferences):
        chosen, rejected = (_said(row[side]) for side in ("chosen", "rejected"))
        turned = int(row["doc_id"][-1], 16) % 2 == 1
        texts = (rejected, chosen) if turned else (chosen, rejected)
        label: Label = "2" if turned else "1"
        yield Comparison(row["doc_id"], as_text(row["prompt"]), texts, "", "", label, PREFERENCES)


def _said(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(str(one["content"]) for one in messages)
