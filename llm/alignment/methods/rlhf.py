"""Reinforcement learning from rewards of whole answers, by TRL's trainers of GRPO and RLOO.

Answers are drawn by our own generation from the weights that are being trained; the reference is
the starting model, whose weights are read a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from transformers import TrainerCallback

from llm.alignment import results
from llm.alignment.checks import NoRowsError
from llm.alignment.data import Rows, prompt_rows
from llm.alignment.methods.rlhf_run import RlhfRun
from llm.alignment.reporter import Reporter
from llm.alignment.rewards.journal import Journal, named_parts
from llm.alignment.rewards.rollout import Rollout
from llm.alignment.rewards.weighted import WeightedReward, weighted_reward
from llm.alignment.rollouts import Drawn, draw, sampling_of
from llm.alignment.sampling import PromptOrder
from llm.alignment.trainer import Session
from llm.errors import ExpectedError
from llm.foreign.model import AnyModel, ForeignModel
from llm.model.sampling import GREEDY
from llm.process.parent import StopRequest
from llm.tables import HELD_OUT_ANSWERS, TRAIN, VALIDATION

_AT_ONCE = 64  # held-out prompts between two looks at whether to stop
KL_STEPS = 10  # whose mean is held against the limit
HELD_OUT_FILE, SAMPLES_FILE = "held_out.parquet", "samples.parquet"


class KlLimitError(ExpectedError, ArithmeticError):
    """The model went further from the one it started from than allowed."""


def train(run: RlhfRun, reporter: Reporter, stop: StopRequest) -> None:
    """Train on the prompts of split train; answer held-out ones before and after.

    Writes as `llm.alignment.methods.sft.train`, samples of the answers learned from, and the
    answers to held-out prompts.

    Raises:
        KlLimitError, NonFiniteRewardError, RewardSettingError, NoRowsError
        Every error of `llm.alignment.data` and `trainer`, and of `llm.tokens.chat`.
    """
    session = Session(run, reporter, stop)
    rows = prompt_rows(session.tables(), session.chat, session.limit, run.new_tokens)
    session.report(rows, 0)
    training = _drawn(rows.split(TRAIN), run.max_prompts, run.seed)
    _check_prompts(run, rows, training)
    folder = Path(run.reward_model) if run.reward_model else None
    reward = weighted_reward(run.rewards, session.start, folder, session.device, run.score_tokens)
    model = session.load()
    held_out = rows.split(VALIDATION).slice(0, run.held_out_prompts)
    asker = _Asker(session, run, reward)
    before = asker.greedy(model, held_out)
    journal = Journal(
        Path(run.scratch) / f"samples-{session.digest[:16]}",
        run.samples_every,
        reward.names,
        reward.weights,
    )
    trainer = _trainer(session, run, model, training, asker, journal)
    metrics = session.fit(trainer)
    model.eval()
    after = asker.greedy(model, held_out)
    session.save(model)
    last = trainer.state.global_step
    first, final = (asker.figures(answers) for answers in (before, after))
    counts = session.counts(rows, last) | {
        "train_rows": training.num_rows,
        "held_out_prompts": held_out.num_rows,
        "validation_before": first,
        "validation_after": final,
    }
    figures = [*results.at(0, first), *metrics, *results.at(last, final)]
    results.write(
        Path(run.results),
        rows,
        figures,
        counts,
        {SAMPLES_FILE: journal.table(last), HELD_OUT_FILE: asker.table(held_out, before, after)},
    )


def _drawn(table: pa.Table, most: int, seed: int) -> pa.Table:
    """So many rows at most, at random; 0 = all."""
    if not most or table.num_rows <= most:
        return table
    order = np.random.default_rng(seed).permutation(table.num_rows)[:most]
    return table.take(np.sort(order))


def _check_prompts(run: RlhfRun, rows: Rows, training: pa.Table) -> None:
    wanted = run.batch_size // run.samples
    if training.num_rows < wanted:
        raise NoRowsError(
            f"{training.num_rows} prompts of split {TRAIN!r} are left, and a step takes {wanted} "
            f"(batch_size {run.batch_size} over samples {run.samples}): {rows.used.num_rows} "
            f"usable prompts in all, removed {rows.reasons(rows.removed)}, rejected "
            f"{rows.reasons(rows.rejected)}. Give more prompts, or lower batch_size"
        )


class _Asker:
    """Prompts to a model, and what the answers are worth."""

    def __init__(self, session: Session, run: RlhfRun, reward: WeightedReward) -> None:
        self._session, self._run, self.reward = session, run, reward

    def draw(self, model: AnyModel, prompts: Sequence[Sequence[int]], step: int) -> list[Drawn]:
        """Answers to learn from in a step; the first is 1."""
        run = self._run
        sampling = sampling_of(run.temperature, run.seed, step)
        return draw(model, prompts, run.new_tokens, self._session.chat.stops, sampling)

    def rollout(self, asked: Mapping[str, Any], drawn: Drawn) -> Rollout:
        """An answer to a row of PROMPT_ROWS, as rewards take it."""
        return Rollout(
            prompt=asked["prompt"],
            answer=self._session.chat.decode(drawn.said),
            expected=asked["expected"],
            tokens=len(drawn.tokens),
            finished=drawn.finished,
            conversation=(*asked["prompt_tokens"], *drawn.tokens),
        )

    def greedy(self, model: AnyModel, table: pa.Table) -> list[tuple[Rollout, NDArray[np.float64]]]:
        """The most probable answers to PROMPT_ROWS, each with what the rewards give."""
        session, found = self._session, []
        session.reporter.begin(table.num_rows, 0, "held-out prompt")
        for start in range(0, table.num_rows, _AT_ONCE):
            session.check_stop()
            rows = table.slice(start, _AT_ONCE).to_pylist()
            prompts = [row["prompt_tokens"] for row in rows]
            answers = draw(model, prompts, self._run.new_tokens, session.chat.stops, GREEDY)
            rollouts = [self.rollout(row, drawn) for row, drawn in zip(rows, answers, strict=True)]
            found += list(zip(rollouts, self.reward.parts(rollouts), strict=True))
            session.report_scored(len(found), table.num_rows)
        return found

    def figures(self, answers: Sequence[tuple[Rollout, NDArray[np.float64]]]) -> dict[str, float]:
        """Means over held-out prompts; none where there are no prompts."""
        if not answers:
            return {}
        parts = np.array([given for _, given in answers])
        return {
            "validation/reward": float((parts @ self.reward.weights).mean()),
            **{
                f"validation/reward/{name}": float(column.mean())
                for name, column in zip(self.reward.names, parts.T, strict=True)
            },
            "validation/length": float(np.mean([rollout.tokens for rollout, _ in answers])),
        }

    def table(
        self,
        held_out: pa.Table,
        before: Sequence[tuple[Rollout, NDArray[np.float64]]],
        after: Sequence[tuple[Rollout, NDArray[np.float64]]],
    ) -> pa.Table:
        """HELD_OUT_ANSWERS."""
        rows = []
        ids = held_out.column("doc_id").to_pylist()
        for doc_id, *answers in zip(ids, before, after, strict=True):
            row = {"doc_id": doc_id, "prompt": answers[0][0].prompt}
            row["expected"] = answers[0][0].expected
            for when, (rollout, given) in zip(("before", "after"), answers, strict=True):
                row[f"answer_{when}"] = rollout.answer
                row[f"tokens_{when}"] = rollout.tokens
                row[f"reward_{when}"] = float(given @ self.reward.weights)
                row[f"parts_{when}"] = named_parts(self.reward.names, given)
            rows.append(row)
        return pa.Table.from_pylist(rows, schema=HELD_OUT_ANSWERS)


class _KlBound(TrainerCallback):  # type: ignore[misc]
    """Ends the run before a checkpoint is written of a step that went too far.

    What is compared is the mean of the last steps: a few tokens can raise one step's estimate, in
    which a ratio of probabilities stands.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        found = [entry["kl"] for entry in state.log_history[-KL_STEPS:] if "kl" in entry]
        mean = sum(found) / max(1, len(found))
        if mean > self._limit:
            raise KlLimitError(
                f"step {state.global_step}: the KL divergence from the starting model is "
                f"{mean:.4g} nats a token, mean of {len(found)} steps, and max_kl allows "
                f"{self._limit:g}. Raise beta, lower the learning rate or the number of steps, or "
                "allow more"
            )


def _trainer(
    session: Session,
    run: RlhfRun,
    model: AnyModel,
    training: pa.Table,
    asker: _Asker,
    journal: Journal,
) -> Any:
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    grouped = run.algorithm == "grpo"
    kind, config = (GRPOTrainer, GRPOConfig) if grouped else (RLOOTrainer, RLOOConfig)
    chat, reward = session.chat, asker.reward

    class OwnRollouts(kind):  # type: ignore[misc, valid-type]
        """Answers and rewards are ours; a prompt is the doc_id of its row."""

        def _get_train_sampler(self, dataset: Any = None) -> Any:
            repeats = self.args.steps_per_generation
            return PromptOrder(training.num_rows, run.samples, run.batch_size, repeats, run.seed)

        def _tokenize_prompts(self, prompts: Sequence[str]) -> Any:
            return [asked[prompt]["prompt_tokens"] for prompt in prompts], None, {}

        def _generate_single_turn(
            self, prompt_ids: Sequence[Sequence[int]], *_: Any, **__: Any
        ) -> Any:
            step = self.state.global_step + 1
            drawn = asker.draw(model, prompt_ids, step)
            # The order in which the trainer takes them is drawn next: by the step as well, so that
            # a run that goes on from within a step takes it as an undisturbed one does.
            torch.manual_seed(sampling_of(run.temperature, run.seed, step).seed)
            found = [one.tokens for one in drawn]
            return (found, None) if grouped else found

        def _calculate_rewards(
            self,
            inputs: Sequence[Mapping[str, str]],
            prompts: Sequence[str],
            completions: Sequence[str],
            completion_ids_list: Sequence[list[int]],
        ) -> Any:
            rollouts = [
                asker.rollout(asked[prompt], Drawn(tokens, tokens[-1] in chat.stops))
                for prompt, tokens in zip(prompts, completion_ids_list, strict=True)
            ]
            parts = reward.parts(rollouts)
            journal.keep(self.state.global_step + 1, rollouts, parts)
            return torch.tensor(parts, dtype=torch.float32, device=self.accelerator.device)

    asked = {row["doc_id"]: row for row in training.to_pylist()}
    arguments = session.arguments()
    del arguments["max_length"]
    arguments |= {
        "num_generations": run.samples,
        "max_completion_length": run.new_tokens,
        "temperature": run.temperature,
        "beta": run.beta,
        "reward_weights": reward.weights.tolist(),
        "num_iterations": 1,  # every answer is learned from once, by the model that gave it
        "disable_dropout": True,
        "mask_truncated_completions": False,
        "log_completions": False,
    }
    if grouped:
        arguments |= {"loss_type": "dapo", "scale_rewards": "group"}
    trainer = OwnRollouts(
        model=session.transformers_model(model),
        reward_funcs=[_told_by_all(name) for name in reward.names],
        args=config(**arguments),
        train_dataset=Dataset(
            InMemoryTable(training.select(["doc_id"]).rename_columns(["prompt"]))
        ),
        processing_class=chat.tokenizer,
        callbacks=[session.steps(), _KlBound(run.max_kl)],
    )
    trainer.eos_token_ids = list(chat.stops)
    session.compute_with(model, trainer.model, run.temperature)
    if session.device.type == "cpu" and not isinstance(model, ForeignModel):
        # The reference that the trainer has read from the same folder gives way to ours.
        reference = session.load()
        session.compute_with(reference, trainer.ref_model, run.temperature)
        trainer.ref_model.load_state_dict(reference.state_dict(keep_vars=True), assign=True)
    return trainer


def _told_by_all(name: str) -> Callable[..., list[float]]:
    """What stands for a reward where a trainer asks for its name."""

    def reward(**_: Any) -> list[float]:
        raise AssertionError("all rewards are computed together, in _calculate_rewards")

    reward.__name__ = name
    return reward
