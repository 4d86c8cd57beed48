"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024) by TRL's trainer: answers with a thumb up
or down, each by itself.

Beside each answer stands one that belongs to another prompt of its batch: how much more probable
those have become estimates the divergence from the starting model, against which every answer is
held. Which rows share a batch is therefore drawn once; what an epoch draws is the order of batches.
The starting model's log-probabilities of both are computed once, before training.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llm.alignment import results
from llm.alignment.answer_lengths import answer_lengths
from llm.alignment.checks import check_answers, check_rows, check_same_tokens
from llm.alignment.data import thumb_rows
from llm.alignment.drift import check_drift
from llm.alignment.methods.kto_run import KtoRun
from llm.alignment.reference_scores import kept
from llm.alignment.reporter import Reporter
from llm.alignment.sampling import BatchOrder, LengthGrouped
from llm.alignment.trainer import Session
from llm.errors import ExpectedError
from llm.foreign.model import AnyModel
from llm.model.scoring import completion_logprobs
from llm.process.parent import StopRequest
from llm.tables import THUMB_REWARDS, TRAIN, VALIDATION

REWARDS_FILE = "rewards.parquet"
# Bounds that the paper advises for the weight of all desirable answers over that of all others.
_BALANCE = (1.0, 4 / 3)

Floats = NDArray[np.float64]


class OneKindOfThumbError(ExpectedError, ValueError):
    """All thumbs point one way: nothing says what is better than what."""


def train(run: KtoRun, reporter: Reporter, stop: StopRequest) -> None:
    """Train on the answers of split train, score all of them before and after.

    Writes as `llm.alignment.methods.sft.train`, and what each answer is worth to the model.

    Raises:
        OneKindOfThumbError, ChosenCollapseError, AnswerLengthError
        Every error of `llm.alignment.checks`, `data` and `trainer`, and of `llm.tokens.chat`.
    """
    session = Session(run, reporter, stop)
    rows = thumb_rows(session.tables(), session.chat, session.limit)
    too_long = check_rows(rows, run.max_truncated, session.limit)
    session.report(rows, too_long)
    check_answers(rows.used, ("answer_tokens",), session.chat.end)
    training, places = _in_batches(rows.used, run)
    _check_thumbs(training, run, reporter)
    others = _other_answers(training, run, session.limit.tokens)
    model = session.load()

    def reference() -> dict[str, NDArray[Any]]:
        sums, counts = _scores(session, model, rows.used, rows.used.column("answer_tokens"))
        theirs, _ = _scores(session, model, training, others)
        return {"answers": sums, "tokens": counts, "others": theirs}

    before = kept(session, reference)
    trainer = _trainer(session, run, model, training, others, before["answers"][places], before)
    held_out = rows.split(VALIDATION)
    lengths = answer_lengths(session, model, held_out, run.length_prompts)
    trainer.add_callback(lengths)
    short = lengths.measure()
    metrics = session.fit(trainer)
    after, tokens = _scores(session, model, rows.used, rows.used.column("answer_tokens"))
    worth = reward_table(rows.used, before["answers"], after, tokens, run.beta)
    measured = worth.filter(pc.equal(worth.column("split"), VALIDATION))
    first, final = (validation_figures(measured, when) for when in ("before", "after"))
    first, final = first | short, final | reward_figures(measured) | lengths.measure()
    check_drift(first, final, run.max_chosen_drop, run.max_length_growth)
    last = trainer.state.global_step
    up = int(pc.sum(training.column("desirable")).as_py())
    counts = session.counts(rows, last) | {
        "truncated": too_long,
        "thumbs_up": up,
        "thumbs_down": training.num_rows - up,
        "validation_before": first,
        "validation_after": final,
    }
    session.save(model)
    figures = [*results.at(0, first), *metrics, *results.at(last, final)]
    results.write(Path(run.results), rows, figures, counts, {REWARDS_FILE: worth})


def validation_figures(worth: pa.Table, when: str) -> dict[str, float]:
    """Mean log-probability a token of answers with a thumb up ("chosen") and down ("rejected").

    Args:
        worth: THUMB_REWARDS; when: "before" or "after".
    """
    return _by_thumb(
        worth,
        worth.column(f"logp_{when}").to_numpy() / worth.column("tokens").to_numpy(),
        "logprob",
    )


def reward_figures(worth: pa.Table) -> dict[str, float]:
    """Mean reward by thumb, and `reward_auc`: how often an answer with a thumb up has a higher
    reward than one with a thumb down, ties half."""
    reward = worth.column("reward").to_numpy()
    figures = _by_thumb(worth, reward, "reward")
    up = worth.column("desirable").to_numpy(zero_copy_only=False)
    if len(figures) == 2:
        low = np.sort(reward[~up])
        below, above = (np.searchsorted(low, reward[up], side=side) for side in ("left", "right"))
        figures["validation/reward_auc"] = float((below + above).mean() / 2 / len(low))
    return figures


def _by_thumb(worth: pa.Table, values: Floats, name: str) -> dict[str, float]:
    up = worth.column("desirable").to_numpy(zero_copy_only=False)
    kinds = {"chosen": up, "rejected": ~up}
    return {
        f"validation/{kind}_{name}": float(values[rows].mean())
        for kind, rows in kinds.items()
        if rows.any()
    }


def reward_table(
    table: pa.Table, before: Floats, after: Floats, tokens: NDArray[np.int64], beta: float
) -> pa.Table:
    """THUMB_REWARDS: the reward is beta times how much the answer gained, in nats."""
    columns = [table.column(name) for name in ("doc_id", "split", "desirable")]
    columns += [pa.array(values) for values in (before, after, beta * (after - before))]
    return pa.table([*columns, pa.array(tokens.astype(np.int32))], schema=THUMB_REWARDS)


def _in_batches(table: pa.Table, run: KtoRun) -> tuple[pa.Table, NDArray[np.int64]]:
    """Rows of split train in the order of their batches, and their places in the table."""
    places = np.flatnonzero(pc.equal(table.column("split"), TRAIN).to_numpy(zero_copy_only=False))
    lengths = sum(
        pc.list_value_length(table.column(f"{name}_tokens")).to_numpy()
        for name in ("prompt", "answer")
    )
    places = places[list(LengthGrouped(lengths[places], run.batch_size, run.seed))]
    return table.take(places), places


def _check_thumbs(training: pa.Table, run: KtoRun, reporter: Reporter) -> None:
    up = int(pc.sum(training.column("desirable")).as_py())
    down = training.num_rows - up
    if not up or not down:
        raise OneKindOfThumbError(
            f"all {up + down} answers of split {TRAIN!r} have a thumb {'up' if up else 'down'}; "
            "what is good is learned from the difference. Add answers with the other thumb; where "
            "there are good ones alone, they are instructions, for sft"
        )
    balance = run.desirable_weight * up / max(run.undesirable_weight * down, 1e-12)
    if not _BALANCE[0] <= balance <= _BALANCE[1]:
        low, high = (bound * run.undesirable_weight * down / up for bound in _BALANCE)
        reporter.log(
            f"{up} thumbs up and {down} down weigh {balance:.2f} to 1; the method's authors advise "
            f"1 to 1.33: a desirable_weight from {low:.3g} to {high:.3g}"
        )


def mismatched(prompts: Sequence[Hashable], size: int) -> list[int]:
    """For every row the place of another, of the same `size` rows, that has another prompt where
    there is one; every answer is taken as often as every other.

    A row that is left alone at the end takes the one before it.
    """
    found: list[int] = []
    for start in range(0, len(prompts), size):
        block = prompts[start : start + size]
        count = len(block)
        if count == 1:
            found.append(max(0, start - 1))
            continue
        same = [
            sum(block[at] == block[at - shift] for at in range(count)) for shift in range(1, count)
        ]
        shift = 1 + same.index(min(same))
        found += [start + (at - shift) % count for at in range(count)]
    return found


def _other_answers(training: pa.Table, run: KtoRun, limit: int) -> pa.ChunkedArray:
    """To each prompt the answer of another row, cut as the trainer cuts it."""
    prompts = training.column("prompt_tokens").to_pylist()
    answers = training.column("answer_tokens").to_pylist()
    places = mismatched(
        [tuple(prompt) for prompt in prompts], run.micro_batch_size or run.batch_size
    )
    cut = [
        answers[place][: limit - len(prompt)] for prompt, place in zip(prompts, places, strict=True)
    ]
    return pa.chunked_array([pa.array(cut, type=pa.list_(pa.int32()))])


def _scores(
    session: Session, model: AnyModel, table: pa.Table, answers: pa.ChunkedArray
) -> tuple[Floats, NDArray[np.int64]]:
    """Sums in nats and token counts of an answer to each row's prompt, in the table's order."""
    model.eval()
    session.reporter.begin(table.num_rows, 0, "answer")
    return completion_logprobs(
        session.scorer(model),
        table.column("prompt_tokens").to_pylist(),
        answers.to_pylist(),
        session.run.score_tokens,
        session.device,
        session.report_scored,
    )


def _trainer(
    session: Session,
    run: KtoRun,
    model: AnyModel,
    training: pa.Table,
    others: pa.ChunkedArray,
    reference: Floats,
    before: dict[str, NDArray[Any]],
) -> Any:
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import KTOConfig, KTOTrainer

    class PreparedTrainer(KTOTrainer):  # type: ignore[misc]
        """Takes rows that are tokens already, with their reference log-probabilities."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return BatchOrder(training.num_rows, run.batch_size, run.seed)

        def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    columns = {
        "prompt_ids": training.column("prompt_tokens"),
        "completion_ids": training.column("answer_tokens"),
        "KL_completion_ids": others,
        "label": training.column("desirable"),
        "ref_logps": pa.array(reference.astype(np.float32)),
        "ref_KL_logps": pa.array(before["others"].astype(np.float32)),
    }
    trainer = PreparedTrainer(
        model=session.transformers_model(model),
        args=KTOConfig(
            **session.arguments(),
            beta=run.beta,
            desirable_weight=run.desirable_weight,
            undesirable_weight=run.undesirable_weight,
            loss_type="kto",
            precompute_ref_log_probs=True,
            sync_ref_model=False,
            disable_dropout=True,
        ),
        train_dataset=Dataset(InMemoryTable(pa.table(columns))),
        processing_class=session.chat.tokenizer,
        callbacks=[session.steps()],
    )
    session.compute_with(model, trainer.model)
    held = trainer.train_dataset.data.table
    for name in ("prompt_ids", "completion_ids", "KL_completion_ids"):
        check_same_tokens(name, pa.table(columns).column(name), held.column(name))
    return trainer
