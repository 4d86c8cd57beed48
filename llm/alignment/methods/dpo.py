"""Direct preference optimisation (Rafailov et al. 2023) by TRL's trainer.

The reference is the starting model: the log-probabilities it gives to every answer are computed
once, before training, and are the `before` of the pairs as well as the reference of the loss.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llm.alignment import results
from llm.alignment.answer_lengths import answer_lengths
from llm.alignment.checks import check_pairs, check_rows, check_same_tokens
from llm.alignment.data import preference_rows
from llm.alignment.drift import check_drift
from llm.alignment.methods.dpo_run import DpoRun
from llm.alignment.reference_scores import kept
from llm.alignment.reporter import Reporter
from llm.alignment.sampling import LengthGrouped
from llm.alignment.trainer import Session
from llm.foreign.model import AnyModel
from llm.model.scoring import completion_logprobs
from llm.process.parent import StopRequest
from llm.tables import PAIRS, TRAIN

_ANSWERS = ("chosen_tokens", "rejected_tokens")
_DATASET = ("prompt_ids", "chosen_ids", "rejected_ids", "ref_chosen_logps", "ref_rejected_logps")


@dataclass(frozen=True)
class Scores:
    """What one model gives to the answers of pairs; float64 sums in nats, int64 token counts."""

    chosen: NDArray[np.float64]
    rejected: NDArray[np.float64]
    chosen_tokens: NDArray[np.int64]
    rejected_tokens: NDArray[np.int64]


def train(run: DpoRun, reporter: Reporter, stop: StopRequest) -> None:
    """Train on the pairs of split train, score all of them before and after.

    Writes as `llm.alignment.methods.sft.train`, and the pairs with their margins.
    """
    session = Session(run, reporter, stop)
    rows = preference_rows(session.tables(), session.chat, session.limit)
    too_long = check_rows(rows, run.max_truncated, session.limit)
    session.report(rows, too_long)
    check_pairs(rows.used, session.chat.end)
    in_training = pc.equal(rows.used.column("split"), TRAIN).to_numpy()
    model = session.load()
    before = _reference(session, model, rows.used)
    trainer = _trainer(session, run, model, rows.used, before, in_training)
    held_out = rows.used.filter(pa.array(~in_training))
    lengths = answer_lengths(session, model, held_out, run.length_prompts)
    trainer.add_callback(lengths)
    short = lengths.measure()
    metrics = session.fit(trainer)
    after = _scores(session, model, rows.used)
    last = trainer.state.global_step
    validation = ~in_training
    first, final = (validation_figures(scores, validation) for scores in (before, after))
    pairs = pair_table(rows.used, before, after, run.beta)
    margin = pairs.column("margin").to_numpy()[validation]
    if len(margin):
        final["validation/reward_accuracy"] = float((margin > 0).mean())
        final["validation/reward_margin"] = float(margin.mean())
    first, final = first | short, final | lengths.measure()
    check_drift(first, final, run.max_chosen_drop, run.max_length_growth)
    counts = session.counts(rows, last) | {
        "truncated": too_long,
        "validation_before": first,
        "validation_after": final,
    }
    session.save(model)
    figures = [*results.at(0, first), *metrics, *results.at(last, final)]
    results.write(Path(run.results), rows, figures, counts, {results.PAIRS_FILE: pairs})


def validation_figures(scores: Scores, rows: NDArray[np.bool_]) -> dict[str, float]:
    """Figures of the pairs chosen; none where there are no pairs.

    `preference_accuracy`: share of pairs whose chosen answer has the higher mean log-probability
    a token; `chosen_logprob`, `rejected_logprob`: mean log-probability of an answer's token.
    """
    if not rows.any():
        return {}
    chosen = scores.chosen[rows] / scores.chosen_tokens[rows]
    rejected = scores.rejected[rows] / scores.rejected_tokens[rows]
    return {
        "validation/preference_accuracy": float((chosen > rejected).mean()),
        "validation/chosen_logprob": float(chosen.mean()),
        "validation/rejected_logprob": float(rejected.mean()),
    }


def pair_table(table: pa.Table, before: Scores, after: Scores, beta: float) -> pa.Table:
    """PAIRS: the margin is beta times how much more the chosen answer gained than the rejected."""
    margin = beta * ((after.chosen - before.chosen) - (after.rejected - before.rejected))
    columns = [before.chosen, before.rejected, after.chosen, after.rejected, margin]
    names = [table.column("doc_id"), table.column("split")]
    return pa.table([*names, *(pa.array(column) for column in columns)], schema=PAIRS)


def _reference(session: Session, model: AnyModel, table: pa.Table) -> Scores:
    """The starting model's scores; a run that goes on takes those it was begun with."""
    return Scores(**kept(session, lambda: asdict(_scores(session, model, table))))


def _scores(session: Session, model: AnyModel, table: pa.Table) -> Scores:
    """Both answers of every pair, in the order of the table."""
    model.eval()
    prompts = table.column("prompt_tokens").to_pylist()
    chosen, rejected = (table.column(name).to_pylist() for name in _ANSWERS)
    session.reporter.begin(2 * table.num_rows, 0, "answer")
    sums, counts = completion_logprobs(
        session.scorer(model),
        [*prompts, *prompts],
        [*chosen, *rejected],
        session.run.score_tokens,
        session.device,
        session.report_scored,
    )
    pairs = table.num_rows
    return Scores(sums[:pairs], sums[pairs:], counts[:pairs], counts[pairs:])


def _trainer(
    session: Session,
    run: DpoRun,
    model: AnyModel,
    table: pa.Table,
    reference: Scores,
    in_training: NDArray[np.bool_],
) -> Any:
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import DPOConfig, DPOTrainer

    class PreparedTrainer(DPOTrainer):  # type: ignore[misc]
        """Takes rows that are tokens already, with their reference log-probabilities."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            """Pairs of like length together: a batch is as wide as its longest answer."""
            prompt, chosen, rejected = (pc.list_value_length(c).to_numpy() for c in columns[:3])
            widths = prompt + np.maximum(chosen, rejected)
            return LengthGrouped(widths, run.batch_size, run.seed)

        def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    training = table.filter(pa.array(in_training))
    columns = [training.column(f"{name}_tokens") for name in ("prompt", "chosen", "rejected")]
    logps = [reference.chosen[in_training], reference.rejected[in_training]]
    columns += [pa.array(values.astype(np.float32)) for values in logps]
    with_sft = run.sft_weight > 0
    arguments = DPOConfig(
        **session.arguments(),
        beta=run.beta,
        loss_type=[run.loss, "sft"] if with_sft else [run.loss],
        loss_weights=[1.0, run.sft_weight] if with_sft else [1.0],
        label_smoothing=0.0,
        precompute_ref_log_probs=True,
        sync_ref_model=False,
        disable_dropout=run.lora is None,  # of a model with adapters its own is off already
    )
    trainer = PreparedTrainer(
        model=session.transformers_model(model),
        args=arguments,
        train_dataset=Dataset(InMemoryTable(pa.table(columns, names=list(_DATASET)))),
        processing_class=session.chat.tokenizer,
        callbacks=[session.steps()],
    )
    session.compute_with(model, trainer.model)
    _check_dataset(trainer.train_dataset, training)
    return trainer


def _check_dataset(dataset: Any, training: pa.Table) -> None:
    """Make sure that the trainer holds every answer as it was rendered."""
    held = dataset.data.table
    for name in ("prompt", "chosen", "rejected"):
        theirs = held.column(f"{name}_ids")
        check_same_tokens(f"{name}_ids", training.column(f"{name}_tokens"), theirs)
