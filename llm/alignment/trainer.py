"""What all methods share: reading rows, the model, the trainer's arguments, training to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from llm.alignment import checkpoints
from llm.alignment.adopted import check_same_tokenizer, history, take_weights
from llm.alignment.callbacks import Steps
from llm.alignment.checks import check_context
from llm.alignment.data import Limit, Rows
from llm.alignment.lora import adapted, merge
from llm.alignment.reporter import Reporter
from llm.alignment.run_file import Run, run_digest
from llm.alignment.transformers_model import compute_with, transformers_model
from llm.foreign.folder import context_in, ends_in
from llm.foreign.model import (
    AnyModel,
    ForeignModel,
    check_finite,
    load_foreign,
    open_model,
    weights_of,
)
from llm.model.config_file import check_tokenizer
from llm.model.folder import save_tuned
from llm.model.scoring import Scorer
from llm.process.parent import StoppedError, StopRequest
from llm.tables import TRAIN, VALIDATION
from llm.tokens.chat import ChatEncoder
from llm.training.devices import CUDA_OR_CPU, autocast, find, precision_on
from llm.training.threads import UNKNOWN, ThreadTuner

_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
_ADAM_EPSILON = 1e-8  # as Kingma and Ba 2015


class Session:
    """One run on one machine.

    Attributes:
        limit: on the tokens of a row.
        digest: of settings, model and rows: equal for the same run begun again.

    Raises:
        TokenizerMismatchError: the tokenizer beside the model is not the one it was trained with.
        ContextError: rows may be longer than the model's context.
        DeviceError: there is no such device.
    """

    def __init__(self, run: Run, reporter: Reporter, stop: StopRequest) -> None:
        self.device = find(run.device, CUDA_OR_CPU)
        # What "auto" stands for here: a checkpoint of another precision is another run's.
        run = replace(run, precision=precision_on(self.device, run.precision))
        self.run, self.reporter, self.stop = run, reporter, stop
        self.start = Path(run.model)
        check_tokenizer(self.start, self.start)
        context = context_in(self.start)
        self.limit = Limit(run.max_length or context, run.cut)
        check_context(self.limit.tokens, context)
        self.chat = ChatEncoder(self.start)
        self.digest = run_digest(run)
        self._model: AnyModel | None = None
        self._adapted: Any = None
        self._scoring: ThreadTuner | None = None  # before and after go equally fast

    def check_stop(self) -> None:
        """Raises:
        StoppedError: SIGTERM came.
        """
        if self.stop.requested:
            raise StoppedError(
                "stopped between steps; the last checkpoint, if there is one, is kept"
            )

    def tables(self) -> Iterator[pa.Table]:
        """The example tables, one row group at a time."""
        for path in self.run.examples:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                self.check_stop()
                yield file.read_row_group(group)

    def report(self, rows: Rows, too_long: int) -> None:
        """Tell the user what became of the rows."""
        self.reporter.log(
            f"{rows.used.num_rows} rows used, {too_long} longer than {self.limit.tokens} "
            f"tokens; removed {_format_reasons(rows.reasons(rows.removed))}, "
            f"rejected {_format_reasons(rows.reasons(rows.rejected))}"
        )

    def counts(self, rows: Rows, steps: int) -> dict[str, Any]:
        """What every method counts of a run of so many steps."""
        return {
            "used": rows.used.num_rows,
            "removed": rows.reasons(rows.removed),
            "rejected": rows.reasons(rows.rejected),
            "train_rows": rows.split(TRAIN).num_rows,
            "validation_rows": rows.split(VALIDATION).num_rows,
            "steps": steps,
            "precision": self.run.precision,
        }

    def load(self) -> AnyModel:
        """The starting model, float32, on the device; `fit` adopts into the one loaded first.

        Raises:
            NonFiniteWeightsError: it holds what is no number.
            ModelFolderError, TokenizerMismatchError: see `open_model`.
        """
        # Adapters lie in transformers' modules, so its forward pass is the one that has them.
        opened = load_foreign if self.run.lora else open_model
        found = opened(self.start).to(self.device)
        check_finite(found, self.start)
        self._model = self._model or found
        return found

    def transformers_model(self, model: AnyModel) -> Any:
        """What a trainer is given for the model: see `llm.alignment.transformers_model`."""
        if isinstance(model, ForeignModel) and self.run.lora and not self.run.adopted:
            self._adapted = adapted(model.held, self.run.lora, self.run.seed)
            return self._adapted
        if isinstance(model, ForeignModel):
            return model.held
        return transformers_model(model, self.start)

    def compute_with(self, model: AnyModel, held: Any, temperature: float = 1.0) -> None:
        """Let a trainer's forward passes of its model `held` be ours where its own are slow: on a
        CPU.

        Elsewhere TRL's kernels leave out what no loss reads.
        """
        if self.device.type == "cpu" and not isinstance(model, ForeignModel):
            compute_with(model, held, temperature)

    def scorer(self, model: AnyModel) -> Scorer:
        """The model in its two halves, in the precision of the training."""
        return _Scorer(self, self.states(model.hidden), model.lm_head)

    def states(self, hidden: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Hidden states in that precision; before each batch a look at whether to stop."""
        self._scoring = threads = self._scoring or self.threads()
        threads.enforce()

        def compute(tokens: Tensor) -> Tensor:
            self.check_stop()
            with threads.timed(tokens.numel()), autocast(self.device, self.run.precision):
                return hidden(tokens)

        return compute

    def report_scored(self, done: int, total: int) -> None:
        """So many rows are scored; the reporter knows the total."""
        self.reporter.step(done)

    def arguments(self) -> dict[str, Any]:
        """Arguments of transformers' trainer; every default of TRL that differs is set here."""
        run = self.run
        # Packed rows of one pass are laid end to end, and attention is over all of them.
        micro = run.micro_batch_size or (1 if run.packed else run.batch_size)
        return {
            "output_dir": run.scratch,
            "num_train_epochs": run.epochs,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": run.batch_size // micro,
            "learning_rate": run.learning_rate,
            "lr_scheduler_type": _SCHEDULES[run.schedule],
            "warmup_steps": run.warmup_share,  # below 1 it is a share
            "weight_decay": run.weight_decay,
            "optim": "adamw_torch",
            "adam_beta1": run.adam_beta1,
            "adam_beta2": run.adam_beta2,
            "adam_epsilon": _ADAM_EPSILON,
            "max_grad_norm": run.gradient_clip,
            "bf16": run.precision == "bf16",
            "fp16": False,
            "use_cpu": self.device.type == "cpu",
            "gradient_checkpointing": False,
            "seed": run.seed,
            "data_seed": run.seed,
            "dataloader_num_workers": 0,
            "dataloader_pin_memory": False,
            "dataloader_drop_last": False,
            "logging_strategy": "steps",
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "save_strategy": "no",  # the callback decides
            "eval_strategy": "no",  # validation rows are scored before and after
            "report_to": "none",
            "disable_tqdm": True,
            "max_length": self.limit.tokens,
            "pad_to_multiple_of": None,
        }

    def threads(self, known: tuple[int, float] = UNKNOWN) -> ThreadTuner:
        """For a kind of work that is timed piece by piece; `known` as the tuner takes it."""
        return ThreadTuner(self.device, self.run.threads, known)

    def steps(self) -> Steps:
        """The callback every trainer gets."""
        run, found = self.run, self._checkpoint()
        threads = self.threads(checkpoints.threads(found) if found else UNKNOWN)
        return Steps(self.reporter, self.stop, run.checkpoint_seconds, self.digest, threads)

    def _checkpoint(self) -> Path | None:
        return checkpoints.newest(Path(self.run.scratch), self.digest)

    def fit(self, trainer: Any) -> list[dict[str, Any]]:
        """Train to the end, from the newest checkpoint of this run if there is one.

        Returns:
            Rows of step, name, value: the figures of every step since the first.

        Raises:
            StoppedError: asked to stop; a checkpoint is written.
            NonFiniteLossError: training diverged.
            AdoptedModelError: what is adopted is no model that began as this one.
        """
        if self.run.adopted:
            return self._adopt(trainer)
        from transformers import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        found = self._checkpoint()
        if found is not None:
            self.reporter.log(f"resumes from {found.name}")
        trainer.train(resume_from_checkpoint=str(found) if found else None)
        if trainer.state.global_step < trainer.state.max_steps:
            raise StoppedError(f"stopped after step {trainer.state.global_step}, with a checkpoint")
        if self._adapted is not None:
            merge(self._adapted)
        # Counts that start anew with the process, a clock, and what only repeats the step.
        dropped = {"step", "epoch", "num_tokens", "step_time"}
        return [
            {"step": entry["step"], "name": name, "value": float(value)}
            for entry in trainer.state.log_history
            if "loss" in entry
            for name, value in sorted(entry.items())
            if name not in dropped and value is not None
        ]

    def _adopt(self, trainer: Any) -> list[dict[str, Any]]:
        """Take what another program trained in place of a training."""
        folder = Path(self.run.adopted)
        model = self._model or self.load()
        check_same_tokenizer(self.start, folder)
        take_weights(model, folder)
        figures, trainer.state.global_step = history(folder)
        self.reporter.log(f"adopts {folder}, trained for {trainer.state.global_step or '?'} steps")
        return figures

    def save(self, model: AnyModel) -> None:
        """Write the trained model as every model folder is written."""
        save_tuned(weights_of(model), Path(self.run.output), self.start, ends_in(self.start))


class _Scorer:
    """A model in its two halves."""

    def __init__(
        self,
        session: Session,
        hidden: Callable[[Tensor], Tensor],
        lm_head: Callable[[Tensor], Tensor],
    ) -> None:
        self._session, self._hidden, self._lm_head = session, hidden, lm_head

    def hidden(self, tokens: Tensor, /) -> Tensor:
        return self._hidden(tokens)

    def lm_head(self, states: Tensor) -> Tensor:
        with autocast(self._session.device, self._session.run.precision):
            return self._lm_head(states)


def _format_reasons(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
