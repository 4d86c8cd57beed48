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
from llm.model.config_file import ModelFolderError, check_tokenizer
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.process.events import Progress, log
from llm.process.parent import Interrupted, StoppedError, StopRequest
from llm.tables import METRICS
from llm.tokens.special_tokens import END_OF_TEXT
from llm.training import checkpoints, devices
from llm.training.batches import Batches, batches_of
from llm.training.compilation import compile_blocks, compiled_softmax
from llm.training.distributed import Processes, group
from llm.training.loss import softmax
from llm.training.optimisers import muon_precision
from llm.training.recomputation import recompute
from llm.training.run_file import Run
from llm.training.shared_tokens import open_tokens
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
        self._digest = run.digest  # reads the starting weights, so once
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

    def run(self) -> None:
        start = self._resume()
        try:
            self._go_on(start)
        except Interrupted:
            if self._saved < self._done:
                self._save()
            steps = self._run.optimisation.steps
            raise StoppedError(
                f"stopped after step {self._done} of {steps}, with a checkpoint"
            ) from None
        except devices.DoesNotFitError:
            self._remember_micro_batch()  # where a step cannot be done again, the next start does
            raise

    def _go_on(self, start: int) -> None:
        run, o = self._run, self._run.optimisation
        batches = batches_of(self._tokens, o, run.phases)
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
            late = time.monotonic() - saved > run.execution.checkpoint_seconds
            # The last one too: nothing that befalls the writing of the model costs its training.
            if self._done == o.steps or self._processes.any(late):
                self._save()
                saved = time.monotonic()
        self._finish(batches, trained, time.monotonic() - began, start)

    def _require_no_stop(self) -> None:
        """Raises:
        Interrupted: any of the processes was asked to stop.
        """
        if self._processes.any(self._stop.requested):
            raise Interrupted

    def _resume(self) -> int:
        folder = self._scratch / "checkpoints"
        found = checkpoints.latest(folder, self._digest) if self._processes.first else None
        name = self._processes.agree(found.folder.name if found else "")
        if not name:
            return 0
        found = found or checkpoints.verified_elsewhere(folder / name)
        for name in found.rejected:
            self._say(f"checkpoint {name} is damaged and was passed over")
        found.restore(self._model, self._stepper.optimisers)
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
            f"tokens, {batches.describe(o.steps)}"
        )
        for step, source in batches.used_up():
            self._say(
                f"from step {step + 1} on {source} has reached its max_epochs and the others share "
                "its weight"
            )

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
        checkpoints.write(
            self._scratch / "checkpoints",
            self._digest,
            self._done,
            self._model,
            self._stepper.optimisers,
            self._metrics,
            self._threads.found,
            self._strategy,
        )
        if self._processes.first:
            self._remember_micro_batch()
        self._saved = self._done
        self._stop.release()

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
        sources = [
            {"source": name, "tokens": rows * self._tokens.sequence_length, "epochs": epochs}
            for name, (rows, epochs) in batches.given(run.optimisation.steps).items()
        ]
        result |= {"sources": sources} if sources else {}
        Path(paths.result).write_text(json.dumps(result, indent=1), encoding="utf-8")


def _first_model(run: Run) -> Transformer:
    if not run.paths.start:
        model = Transformer(run.architecture)
        initialise(model, run.optimisation.seed)
        return model
    start = Path(run.paths.start)
    check_tokenizer(start, Path(run.paths.tokenizer))
    model = model_folder.load(start)
    if model.architecture != run.architecture:
        raise ModelFolderError(
            f"{start} is another architecture than the one configured: {model.architecture}; "
            f"configured is {run.architecture}"
        )
    return model.train()


def _silent(message: str) -> None:
    """Of several processes the first one speaks."""
