"""A training run from its first step, or its last checkpoint, to a model folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from llm.model import folder as model_folder
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.process.events import log
from llm.process.parent import Interrupted, StoppedError, StopRequest
from llm.tokens.special_tokens import END_OF_TEXT
from llm.training import devices, results, resumable, task_items, training_state
from llm.training.batches import Batches, batches_of
from llm.training.checkpoints import Position
from llm.training.compilation import compile_blocks, compiled_softmax
from llm.training.distributed import Processes, group
from llm.training.loss import softmax
from llm.training.memory import free_bytes
from llm.training.memory_estimate import require_fitting
from llm.training.meters import Meters
from llm.training.micro_batch import MicroBatch
from llm.training.optimisers import muon_precision
from llm.training.recomputation import recompute
from llm.training.run_file import Run
from llm.training.saver import Saver
from llm.training.schedules import stable_steps
from llm.training.shared_tokens import open_tokens
from llm.training.stability import Stability
from llm.training.step import Stepper
from llm.training.strategy_choice import choose
from llm.training.task_scores import TaskScores
from llm.training.threads import ThreadTuner
from llm.training.trackers import open_trackers
from llm.training.validation import Validation

_MEASURED = "validation_bits_per_byte"


def train(run: Run, stop: StopRequest) -> None:
    """Train, and write model, metrics and result to the places the run names.

    Raises:
        StoppedError: SIGTERM came; the next start resumes from the checkpoint.
        NonFiniteLossError, DoesNotFitError, TokenizerMismatchError, BadSequencesError: see there.
        RendezvousError: of several processes not all came.
        InsufficientMemoryError: not even weights and states fit.
    """
    device, wanted = devices.find(run.execution.device), run.execution
    with group(device, wanted.rendezvous_seconds, wanted.parallel == "fsdp") as processes:
        train_among(run, stop, device, processes)


def train_among(run: Run, stop: StopRequest, device: torch.device, processes: Processes) -> None:
    """The same, in processes that have found each other."""
    _Training(on_device(run, device), stop, device, processes).run()


def on_device(run: Run, device: torch.device) -> Run:
    """The run with what "auto" stands for on this device: its checkpoints are no other's."""
    precision = devices.precision_on(device, run.optimisation.precision)
    return replace(run, optimisation=replace(run.optimisation, precision=precision))


class _Training:
    def __init__(
        self, run: Run, stop: StopRequest, device: torch.device, processes: Processes
    ) -> None:
        self._run, self._stop, self._device, self._processes = run, stop, device, processes
        self._strategy = choose(run, device, processes)
        self._scratch = Path(run.paths.scratch)
        # Told before the tokens are read and the weights are made.
        require_fitting(
            run.architecture,
            run.optimisation.optimiser,
            processes.count if self._strategy.name in ("fsdp", "zero2", "zero3") else 1,
            free_bytes(device),
            0 if device.type == "cuda" else int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        )
        self._tokens = open_tokens(run, processes)
        model = _first_model(run)
        recompute(model, run.execution.activation_checkpointing)
        self._compiled = run.execution.compile and compile_blocks(
            model, self._scratch / "compiled", device
        )
        self._model = self._strategy.wrap(model)
        self._stepper = Stepper(
            self._model,
            run.optimisation,
            self._tokens,
            device,
            self._strategy,
            run.execution.micro_batch_rows,
            stop,
            compiled_softmax() if self._compiled else softmax,
        )
        cache = Path(os.environ.get("INGOT_CACHE") or self._scratch)
        self._micro_batch = MicroBatch(run, device, self._stepper, cache, self._compiled)
        self._threads = ThreadTuner(device, run.execution.threads or processes.threads)
        tokenizer = Path(run.paths.tokenizer)
        self._validation = Validation(self._tokens, run.optimisation, tokenizer, device, stop)
        self._task_scores = _task_scores(run, device, stop)
        self._task_seconds = 0.0  # since this start
        self._trackers = open_trackers(run) if processes.first else []
        self._meters = self._new_meters(Stability())
        self._done = self._saved = self._validated = self._asked = 0  # steps
        self._say: Callable[[str], None] = log if processes.first else _silent
        self._stable = stable_steps(run.optimisation) if run.paths.resumable else 0
        self._saver = Saver(
            self._scratch / "checkpoints",
            run.identity(),
            run.execution.keep_checkpoints,
            self._model,
            self._stepper.optimisers,
            processes,
            self._say,
            self._scratch / "resumable",
            self._stable,
        )

    def run(self) -> None:
        start = self._resume()
        try:
            self._go_on(start)
        except Interrupted:
            if self._saved < self._done:
                self._save()
            self._saver.finish()
            steps = self._run.optimisation.steps
            raise StoppedError(
                f"stopped after step {self._done} of {steps}, with a checkpoint"
            ) from None
        except devices.DoesNotFitError:
            # Where a step cannot be done again, the next start does.
            self._micro_batch.keep(failed=True)
            raise
        finally:
            self._saver.close()
            for tracker in self._trackers:
                tracker.close()

    def _go_on(self, start: int) -> None:
        run, o = self._run, self._run.optimisation
        batches = batches_of(self._tokens, o, run.phases)
        self._describe(batches, start)
        self._meters.begin(start)
        saved = time.monotonic()
        if start and self._validation_is_due():
            self._validate()  # the start before this one was stopped meanwhile
        if start:
            self._ask_if_due()
        while self._done < o.steps:
            self._step(batches)
            if self._validation_is_due():
                self._validate()
            self._ask_if_due()
            self._meters.report(self._done, self._threads.threads)
            self._require_no_stop()
            stability, last = self._meters.stability, self._done == o.steps
            if stability.in_trouble(self._done, o.steps):
                self._roll_back()
                continue
            self._saver.settle()
            late = time.monotonic() - saved > run.execution.checkpoint_seconds
            late = late and not (self._saver.writing or stability.uncertain)
            # The last one too: nothing that befalls the writing of the model costs its training.
            if last or self._done == self._stable or self._processes.any(late):
                self._save()
                saved = time.monotonic()
        self._saver.finish()
        self._stop.release()
        self._finish(batches, start)

    def _step(self, batches: Batches) -> None:
        if not self._meters.stability.passes_over(self._done + 1):
            with self._threads.timed(1.0), self._micro_batch.measured():
                figures = self._stepper(self._done, batches.indices(self._done))
            self._meters.add(self._done + 1, self._stepper.micro_batch_rows, figures)
        self._done += 1
        self._stop.hold()
        if self._done == self._run.optimisation.steps:
            self._meters.flush()

    def _require_no_stop(self) -> None:
        """Raises:
        Interrupted: any of the processes was asked to stop.
        """
        if self._processes.any(self._stop.requested):
            raise Interrupted

    def _resume(self) -> int:
        found = self._restore()
        if found is None:
            start = resumable.restore(self._run, self._model, self._stepper.optimisers)
            if start is not None:
                self._say(resumable.describe(start))
            return 0
        fixed = self._run.execution.threads or self._processes.threads
        self._threads = ThreadTuner(self._device, fixed, known=found.threads)
        self._say(f"resumes from the checkpoint of step {found.step}")
        stability = Stability.of(found.extra.get("guard", {}).get("stability", {}))
        self._meters = self._new_meters(stability, found.metrics)
        self._stepper.rate_share = stability.rate_share
        self._recall_measurements()
        return found.step

    def _restore(self, before: int | None = None) -> Position | None:
        """Be where the newest checkpoint is, or the newest one without step `before`; nothing is
        changed where there is none."""
        found = self._saver.restore(before)
        if found is not None:
            self._stepper.guard.load(found.extra.get("guard", {}).get("window", {}))
            self._done = self._saved = found.step
        return found

    def _roll_back(self) -> None:
        """Go on from before the trouble, with a smaller learning rate.

        Raises:
            NonFiniteLossError: that was done too often.
        """
        stability = self._meters.stability
        if self._restore(before=stability.require_rollback()) is None:
            first = dict(_first_model(self._run).named_parameters())
            training_state.place_weights(self._model, first)
            for optimiser in self._stepper.optimisers:
                optimiser.state.clear()
            resumable.restore(self._run, self._model, self._stepper.optimisers)
            self._stepper.guard.load({})
            self._done = 0
        event = stability.roll_back(self._done)
        self._say(f"too many of the last steps were skipped: {event.event} {event.detail}")
        self._stepper.rate_share = stability.rate_share
        self._meters.rolled_back(self._done, event)
        self._recall_measurements()
        self._save()

    def _new_meters(
        self, stability: Stability, metrics: Sequence[tuple[int, str, float]] = ()
    ) -> Meters:
        flops = self._run.architecture.flops_per_token(self._tokens.sequence_length)
        return Meters(
            self._run, self._device, self._processes, flops, stability, metrics, self._trackers
        )

    def _describe(self, batches: Batches, start: int) -> None:
        o, a = self._run.optimisation, self._run.architecture
        if o.precision == "bf16" and not devices.multiplies_bf16(self._device):
            self._say(
                f"bfloat16 is emulated on this {self._device.type}, many times slower than "
                "float32; pretrain.precision=auto takes what is fast"
            )
        self._say(
            f"{a.parameters / 1e6:.2f} M parameters on {self._device}{self._others()}, "
            f"{o.precision}, {'compiled' if self._compiled else 'uncompiled'}; "
            f"steps {start + 1} to {o.steps} of {o.batch_rows} x {self._tokens.sequence_length} "
            f"tokens, {batches.describe(o.steps)}"
        )
        if o.parametrisation.kind == "mup":
            self._say(f"learning rates are those of {o.parametrisation.described}")
        for step, source in batches.used_up():
            self._say(
                f"from step {step + 1} on {source} has reached its max_epochs and the others share "
                "its weight"
            )

        if o.validation_rows and not self._validation.rows:
            self._say("there are no validation sequences: nothing is measured on any")

    def _others(self) -> str:
        count = self._processes.count
        return f" in {count} processes ({self._strategy.name})" if count > 1 else ""

    def _validation_is_due(self) -> bool:
        o, done = self._run.optimisation, self._done
        return (done % o.validate_every == 0 or done == o.steps) and self._validated < done

    def _validate(self) -> None:
        rows = self._stepper.micro_batch_rows
        with self._meters.aside():
            found = self._validation(self._model, rows, self._strategy)
        self._meters.measured(self._done, found)
        if _MEASURED in found:
            bits = found[_MEASURED]
            self._say(f"step {self._done}: {bits:.4f} bits per byte on validation rows")
        self._validated = self._done

    def _recall_measurements(self) -> None:
        """When was last measured, of the steps that count."""
        self._validated = self._meters.last_step_of(_MEASURED)
        if self._task_scores is not None:
            self._asked = self._meters.last_step_of(self._task_scores.names[0])

    def _ask_if_due(self) -> None:
        """Measure on tasks, every so many steps and at the end."""
        every, done = self._run.tasks.every, self._done
        last = done == self._run.optimisation.steps
        if self._task_scores is None or self._asked >= done or (done % every and not last):
            return
        began = time.monotonic()
        with self._meters.aside():
            found = self._task_scores(self._model, self._strategy)
        seconds = time.monotonic() - began
        self._task_seconds += seconds
        self._meters.measured_tasks(done, found, seconds)
        figures = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        self._say(f"step {done}: {figures}")
        self._asked = done

    def _save(self) -> None:
        guard = {
            "window": self._stepper.guard.state(),
            "stability": self._meters.stability.state(),
        }
        with self._meters.aside():
            self._saver.save(
                Position(self._done, self._meters.rows, self._threads.found, {"guard": guard})
            )
        self._micro_batch.keep()
        self._saved = self._done

    def _muon_precision(self) -> str | None:
        muon = self._run.optimisation.optimiser == "muon"
        return muon_precision(self._device) if muon else None

    def _finish(self, batches: Batches, start: int) -> None:
        run, model = self._run, self._strategy.whole(self._model)
        if model is None:
            return
        paths = run.paths
        model_folder.save(model, Path(paths.model), Path(paths.tokenizer), END_OF_TEXT)
        if paths.resumable:
            kept, stable = self._saver.kept(self._done)
            tokens_a_step = run.optimisation.batch_rows * self._tokens.sequence_length
            resumable.write(Path(paths.resumable), kept, run, stable, tokens_a_step)
        machine = {
            "device": str(self._device),
            "processes": self._processes.count,
            "parallel": self._strategy.name,
            "precision": run.optimisation.precision,
            "newton_schulz_precision": self._muon_precision(),
            "threads": self._threads.threads,
            "compiled": self._compiled,
            "micro_batch_rows": self._stepper.micro_batch_rows,
            "resumed_from_step": start,
        }
        if self._task_scores is not None:
            machine["task_seconds"] = round(self._task_seconds, 3)
            machine["task_share"] = round(self._task_seconds / self._meters.seconds, 4)
        results.write(run, self._tokens.sequence_length, batches, machine, self._meters)


def _first_model(run: Run) -> Transformer:
    if not run.paths.start:
        model = Transformer(run.architecture)
        initialise(model, run.optimisation.seed, run.optimisation.parametrisation)
        return model
    return resumable.first_model(run)


def _task_scores(run: Run, device: torch.device, stop: StopRequest) -> TaskScores | None:
    if not run.tasks.every:
        return None
    a = run.architecture
    tasks = task_items.read(Path(run.tasks.items), a.vocabulary_size, a.context)
    return TaskScores(tasks, device, run.optimisation.precision, stop) if tasks else None


def _silent(message: str) -> None:
    """Of several processes the first one speaks."""
