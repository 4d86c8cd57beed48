"""Reward modelling by TRL's trainer: of two answers the better one is to get the higher number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llm.alignment import results, reward_model
from llm.alignment.checks import check_pairs, check_rows, check_same_tokens
from llm.alignment.data import preference_rows
from llm.alignment.methods.reward_run import RewardRun
from llm.alignment.reporter import Reporter
from llm.alignment.reward_model import RewardModel
from llm.alignment.sampling import LengthGrouped
from llm.alignment.trainer import Session
from llm.foreign.backbone import Backbone
from llm.process.parent import StopRequest
from llm.tables import REWARD_PAIRS, TRAIN, VALIDATION

_ANSWERS = ("chosen", "rejected")


def train(run: RewardRun, reporter: Reporter, stop: StopRequest) -> None:
    """Train on the pairs of split train, score all of them afterwards.

    Writes the reward model to `run.output`, and the tables of `llm.alignment.results`, with the
    rewards of all pairs, to `run.results`.

    Raises:
        Every error of `llm.alignment.checks`, `data` and `trainer`, and of `llm.tokens.chat`.
    """
    session = Session(run, reporter, stop)
    rows = preference_rows(session.tables(), session.chat, session.limit)
    too_long = check_rows(rows, run.max_truncated, session.limit)
    session.report(rows, too_long)
    check_pairs(rows.used, session.chat.end)
    model = RewardModel(session.load(), run.seed)
    trainer = _trainer(session, run, model, rows.split(TRAIN))
    metrics = session.fit(trainer)
    pairs = _scored(session, model, rows.used)
    reward_model.save(model, Path(run.output), session.start)
    last = trainer.state.global_step
    margin = pairs.filter(pc.equal(pairs.column("split"), VALIDATION)).column("margin").to_numpy()
    held_out = {}
    if len(margin):
        held_out = {
            "validation/accuracy": float((margin > 0).mean()),
            "validation/margin": float(margin.mean()),
        }
    counts = session.counts(rows, last) | {"truncated": too_long}
    figures = [*metrics, *results.at(last, held_out)]
    results.write(Path(run.results), rows, figures, counts, {results.PAIRS_FILE: pairs})


def _conversations(table: pa.Table, answer: str) -> list[list[int]]:
    """Tokens of the prompts of PREFERENCE_ROWS, each with one of its answers."""
    prompts = table.column("prompt_tokens").to_pylist()
    answers = table.column(f"{answer}_tokens").to_pylist()
    return [[*prompt, *said] for prompt, said in zip(prompts, answers, strict=True)]


def _scored(session: Session, model: RewardModel, table: pa.Table) -> pa.Table:
    """REWARD_PAIRS, in the order of the table."""
    model.eval()
    session.reporter.begin(2 * table.num_rows, 0, "answer")
    sequences = [row for answer in _ANSWERS for row in _conversations(table, answer)]
    rewards = reward_model.score(
        model,
        session.states(model.hidden),
        sequences,
        session.run.score_tokens,
        session.report_scored,
    )
    chosen, rejected = rewards[: table.num_rows], rewards[table.num_rows :]
    lengths = [pc.list_value_length(table.column(f"{answer}_tokens")) for answer in _ANSWERS]
    columns = [table.column("doc_id"), table.column("split")]
    columns += [pa.array(values) for values in (chosen, rejected, chosen - rejected)]
    return pa.table([*columns, *lengths], schema=REWARD_PAIRS)


def _trainer(session: Session, run: RewardRun, model: RewardModel, training: pa.Table) -> Any:
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import RewardConfig, RewardTrainer

    class PreparedTrainer(RewardTrainer):  # type: ignore[misc]
        """Takes rows that are tokens already, those of like length together."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return LengthGrouped(widths, run.batch_size, run.seed)

    conversations = [_conversations(training, answer) for answer in _ANSWERS]
    widths: NDArray[np.int64] = np.max(
        [[len(row) for row in side] for side in conversations], axis=0
    )
    columns = [pa.array(side, type=pa.list_(pa.int32())) for side in conversations]
    names = [f"{answer}_ids" for answer in _ANSWERS]
    arguments = RewardConfig(
        **session.arguments(),
        center_rewards_coefficient=run.center_weight or None,
        disable_dropout=True,
    )
    trainer = PreparedTrainer(
        model=reward_model.transformers_model(model, session.start, session.chat.pad),
        args=arguments,
        train_dataset=Dataset(InMemoryTable(pa.table(columns, names=names))),
        processing_class=session.chat.tokenizer,
        callbacks=[session.steps()],
    )
    # A tokenizer without a token to pad with has rows padded by one that ends a turn, by which
    # transformers would look for the end of a conversation.
    if session.device.type == "cpu" or isinstance(model.transformer, Backbone):
        reward_model.compute_with(model, trainer.model)
    held = trainer.train_dataset.data.table
    for name, column in zip(names, columns, strict=True):
        check_same_tokens(name, pa.chunked_array([column]), held.column(name))
    return trainer
