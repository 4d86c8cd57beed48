"""Supervised fine-tuning: the loss on the assistant's turns alone, by TRL's trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.alignment import results
from llm.alignment.checks import check_rows, check_supervised, check_trained_tokens, flat
from llm.alignment.data import instruction_rows
from llm.alignment.methods.sft_run import SftRun
from llm.alignment.reporter import Reporter
from llm.alignment.sampling import LengthGrouped
from llm.alignment.source_weights import draws
from llm.alignment.trainer import Session
from llm.foreign.bring import bring
from llm.foreign.model import AnyModel
from llm.model.scoring import summed_logprobs
from llm.process.parent import StopRequest
from llm.tables import TRAIN, VALIDATION

_IGNORED = -100  # torch's cross-entropy and TRL leave this label out of the loss


def train(run: SftRun, reporter: Reporter, stop: StopRequest) -> None:
    """Train on the rows of split train, score those of validation before and after.

    Writes the model to `run.output` and the tables of `llm.alignment.results` to `run.results`.

    Raises:
        Every error of `llm.alignment.checks`, `data` and `trainer`, and of `llm.tokens.chat`.
    """
    run = _brought(run)
    session = Session(run, reporter, stop)
    last_only = run.learn == "last"
    rows = instruction_rows(session.tables(), session.chat, session.limit, last_only)
    too_long = check_rows(rows, run.max_truncated, session.limit)
    session.report(rows, too_long)
    check_supervised(rows.used, session.chat.end)
    training, validation = rows.split(TRAIN), rows.split(VALIDATION)
    model = session.load()
    before, scored = _validation_loss(session, model, validation)
    sources: list[dict[str, Any]] = []
    drawn = training
    if run.weights:
        found = draws(training, session.tables(), run.weights, run.seed)
        drawn, sources = training.take(found.rows), found.told
    trainer = _trainer(session, run, model, drawn)
    metrics = session.fit(trainer)
    after, _ = _validation_loss(session, model, validation)
    session.save(model)
    last = trainer.state.global_step
    figures = [*results.at(0, {"validation/completion_loss": before}), *metrics]
    figures += results.at(last, {"validation/completion_loss": after})
    counts = session.counts(rows, last) | {
        "truncated": too_long,
        "train_tokens": len(flat(training.column("tokens"))[1]),
        "supervised_tokens": _count_supervised(training),
        "validation_tokens": scored,
        "sources": sources,
        "trainer_rows": len(trainer.train_dataset),
        "validation_loss_before": before,
        "validation_loss_after": after,
    }
    results.write(Path(run.results), rows, figures, counts, {})


def _brought(run: SftRun) -> SftRun:
    """The same run from a folder laid out as Ingot's are, in its scratch; see `bring`."""
    if not run.start_from:
        return run
    folder, template = Path(run.scratch) / "start", run.chat_template
    bring(Path(run.start_from), folder, Path(template) if template else None)
    return replace(run, model=str(folder), start_from="", chat_template="")


def with_labels(table: pa.Table) -> pa.Table:
    """INSTRUCTION_ROWS as the trainer takes them: input_ids and labels, list<int64> both."""
    offsets, tokens = flat(table.column("tokens"))
    _, supervised = flat(table.column("supervised"))
    ids = tokens.astype(np.int64)
    columns = {"input_ids": ids, "labels": np.where(supervised, ids, _IGNORED)}
    lists = [pa.LargeListArray.from_arrays(offsets, values) for values in columns.values()]
    return pa.table(lists, names=list(columns))


def _trainer(session: Session, run: SftRun, model: AnyModel, training: pa.Table) -> Any:
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import SFTConfig, SFTTrainer

    class GroupedTrainer(SFTTrainer):  # type: ignore[misc]
        """Takes rows of like length together; packed rows are of one length."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            if packed:
                return super()._get_train_sampler(train_dataset)
            lengths = pc.list_value_length(training.column("tokens")).to_numpy()
            return LengthGrouped(lengths, run.batch_size, run.seed)

    packed = run.packing == "bfd"
    arguments = SFTConfig(
        **session.arguments(),
        loss_type="nll",
        packing=packed,
        packing_strategy="bfd",
        shuffle_dataset=packed,  # rows packed in order would share their neighbours' source
        # Rows come rendered and cut; only packing is left for TRL to do.
        dataset_kwargs={"skip_prepare_dataset": not packed},
    )
    trainer = GroupedTrainer(
        model=session.transformers_model(model),
        args=arguments,
        train_dataset=Dataset(InMemoryTable(with_labels(training))),
        processing_class=session.chat.tokenizer,
        callbacks=[session.steps()],
    )
    if not packed:  # rows that share one are kept apart by transformers' own attention
        session.compute_with(model, trainer.model)
    _, labels = flat(trainer.train_dataset.data.table.column("labels"))
    check_trained_tokens(_count_supervised(training), int((labels != _IGNORED).sum()))
    return trainer


def _validation_loss(
    session: Session, model: AnyModel, table: pa.Table
) -> tuple[float | None, int]:
    """Mean negative log-probability of a supervised token, in nats, and how many there are."""
    if not table.num_rows:
        return None, 0
    model.eval()
    session.reporter.begin(table.num_rows, 0, "validation row")
    sums, counts = summed_logprobs(
        session.scorer(model),
        table.column("tokens").to_pylist(),
        [np.array(mask) for mask in table.column("supervised").to_pylist()],
        session.run.score_tokens,
        session.device,
        session.report_scored,
    )
    return -float(sums.sum()) / int(counts.sum()), int(counts.sum())


def _count_supervised(table: pa.Table) -> int:
    return int(flat(table.column("supervised"))[1].sum())
