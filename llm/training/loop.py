"""A training run from its first step, or its last checkpoint, to a model folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from llm.model import folder as model_folder
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.process.events import Progress, log
from llm.process.parent import Interrupted, StoppedError, StopRequest
from llm.tables import METRICS
from llm.tokens import token_file
from llm.tokens.special_tokens import END_OF_TEXT
from llm.tokens.token_file import TokenFile
from llm.training import devices, resumable
from llm.training.batches import Batches
from llm.training.checkpoints import Position
from llm.training.compilation import compile_blocks, compiled_softmax
from llm.training.distributed import Processes, group
from llm.training.loss import softmax
from llm.training.optimisers import muon_precision
from llm.training.recomputation import recompute
from llm.training.run_file import Run
from llm.training.saver import Saver
from llm.training.schedules import stable_steps
from llm.training.step import Stepper
from llm.training.strategy_choice import choose
from llm.training.threads import ThreadTuner
from llm.training.validation import Validation

_MEASURED = "validation_bits_per_byte"


def train(run: Run, stop: StopRequest) -> None:
    """Train, and write model, metrics and result to the places the run names.

    Raises:
        StoppedError: SIGTERM came; the next start resumes from the checkpoint.
        NonFiniteLossError, DoesNotFitError, TokenizerMismatchError, BadSequencesError: see there.
        RendezvousError: of several processes not all came.
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
        self._tokens = _open_tokens(run)
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
            run.execution.micro_batch_rows or self._known_micro_batch(),
            stop,
            compiled_softmax() if self._compiled else softmax,
        )
        self._threads = ThreadTuner(device, run.execution.threads or processes.threads)
        tokenizer = Path(run.paths.tokenizer)
        self._validation = Validation(self._tokens, run.optimisation, tokenizer, device, stop)
        self._metrics: list[tuple[int, str, float]] = []
        self._done = self._saved = self._validated = 0  # steps
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
            self._remember_micro_batch()  # where a step cannot be done again, the next start does
            raise
        finally:
            self._saver.close()

    def _go_on(self, start: int) -> None:
        run, o = self._run, self._run.optimisation
        batches = Batches(len(self._tokens.train), o.batch_rows, o.seed)
        self._describe(batches, start)
        progress = Progress(o.steps, "step", start)
        began, saved = time.monotonic(), time.monotonic()
        trained = 0.0
        if start and self._validation_is_due():
            self._validate()  # the start before this one was stopped meanwhile
        for step in range(start, o.steps):
            with self._threads.timed(1.0):
                figures = self._stepper(step, batches.indices(step))
            self._done = step + 1
            self._stop.hold()
            trained += figures["tokens"]
            for name in ("loss", "gradient_norm", "learning_rate"):
                self._metrics.append((self._done, name, figures[name]))
            if self._validation_is_due():
                self._validate()
            rate = trained / (time.monotonic() - began)
            if self._processes.first:
                progress.report(
                    self._done,
                    loss=figures["loss"],
                    tokens_per_second=rate,
                    threads=self._threads.threads,
                )
            self._require_no_stop()
            self._saver.settle()
            late = time.monotonic() - saved > run.execution.checkpoint_seconds
            # The last one too: nothing that befalls the writing of the model costs its training.
            wanted = self._done in (self._stable, o.steps)
            if wanted or self._processes.any(late and not self._saver.writing):
                self._save()
                saved = time.monotonic()
        self._saver.finish()
        self._stop.release()
        self._finish(batches, trained, time.monotonic() - began, start)

    def _require_no_stop(self) -> None:
        """Raises:
        Interrupted: any of the processes was asked to stop.
        """
        if self._processes.any(self._stop.requested):
            raise Interrupted

    def _resume(self) -> int:
        found = self._saver.restore()
        if found is None:
            start = resumable.restore(self._run, self._model, self._stepper.optimisers)
            if start is not None:
                self._say(resumable.describe(start))
            return 0
        fixed = self._run.execution.threads or self._processes.threads
        self._threads = ThreadTuner(self._device, fixed, known=found.threads)
        self._metrics = list(found.metrics)
        self._done = self._saved = found.step
        validated = (step for step, name, _ in found.metrics if name == _MEASURED)
        self._validated = max(validated, default=0)
        self._say(f"resumes from the checkpoint of step {found.step}")
        return found.step

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
            f"tokens, {batches.epochs(o.steps):.2f} epochs"
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
        for name, value in self._validation(self._model, rows, self._strategy).items():
            self._metrics.append((self._done, name, value))
            if name == _MEASURED:
                self._say(f"step {self._done}: {value:.4f} bits per byte on validation rows")
        self._validated = self._done

    def _save(self) -> None:
        self._saver.save(Position(self._done, self._metrics, self._threads.found))
        if self._processes.first:
            self._remember_micro_batch()
        self._saved = self._done

    def _muon_precision(self) -> str | None:
        muon = self._run.optimisation.optimiser == "muon"
        return muon_precision(self._device) if muon else None

    def _micro_batch_file(self) -> Path:
        return self._scratch / "micro_batch_rows"

    def _remember_micro_batch(self) -> None:
        self._micro_batch_file().write_text(str(self._stepper.micro_batch_rows))

    def _known_micro_batch(self) -> int:
        """What an earlier start found to fit; 0 if there was none."""
        path = self._micro_batch_file()
        text = path.read_text() if path.is_file() else ""
        return int(text) if text.isdigit() else 0

    def _finish(self, batches: Batches, trained: float, seconds: float, start: int) -> None:
        run, model = self._run, self._strategy.whole(self._model)
        if model is None:
            return
        paths = run.paths
        model_folder.save(model, Path(paths.model), Path(paths.tokenizer), END_OF_TEXT)
        if paths.resumable:
            kept, stable = self._saver.kept(self._done)
            tokens_a_step = run.optimisation.batch_rows * self._tokens.sequence_length
            resumable.write(Path(paths.resumable), kept, run, stable, tokens_a_step)
        steps, names, values = zip(*self._metrics, strict=True)
        table = pa.table([steps, names, values], schema=METRICS)
        pq.write_table(table, paths.metrics)
        flops = run.architecture.flops_per_token(self._tokens.sequence_length)
        result = {
            "parameters": run.architecture.parameters,
            "steps": run.optimisation.steps,
            "tokens": run.optimisation.steps
            * run.optimisation.batch_rows
            * self._tokens.sequence_length,
            "epochs": batches.epochs(run.optimisation.steps),
            "flops_per_token": flops,
            "device": str(self._device),
            "processes": self._processes.count,
            "parallel": self._strategy.name,
            "precision": run.optimisation.precision,
            "newton_schulz_precision": self._muon_precision(),
            "threads": self._threads.threads,
            "compiled": self._compiled,
            "micro_batch_rows": self._stepper.micro_batch_rows,
            "resumed_from_step": start,
            "seconds": round(seconds, 3),
            "tokens_per_second": round(trained / seconds, 1) if seconds else None,
            "teraflops_per_second": round(trained / seconds * flops / 1e12, 4) if seconds else None,
        }
        Path(paths.result).write_text(json.dumps(result, indent=1), encoding="utf-8")


def _open_tokens(run: Run) -> TokenFile:
    parts = sorted(Path(run.paths.sequences).glob("*.parquet"))
    return token_file.build(
        parts, Path(run.paths.scratch), run.data_id, run.architecture.vocabulary_size
    )


def _first_model(run: Run) -> Transformer:
    if not run.paths.start:
        model = Transformer(run.architecture)
        initialise(model, run.optimisation.seed)
        return model
    return resumable.first_model(run)


def _silent(message: str) -> None:
    """Of several processes the first one speaks."""
