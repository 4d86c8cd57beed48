"""ZeRO-2 and ZeRO-3, done by DeepSpeed: each process keeps the optimiser states of a share of every
weight, and its gradients; with ZeRO-3 the weights too.

| | of DeepSpeed | of ours |
|---|---|---|
| layout, gathering and reduction | all of it | |
| AdamW | says when | PyTorch's, on shares |
| clipping, skipped steps, loss scale, accumulation | switched off | as with every strategy |
| checkpoints | never written | whole weights and states, as one process writes them |

DeepSpeed averages over processes and we sum, so the loss is multiplied by their number. With
ZeRO-3 embedding and output matrix stay whole, for the loss is computed beside the model; their
gradients and states are shared out. Muon needs matrices where these hold pieces: it is refused.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from llm.errors import ExpectedError
from llm.model.parametrisation_choice import Parametrisation
from llm.model.transformer import Block, Transformer
from llm.process.parent import StopRequest
from llm.training import devices
from llm.training.distributed import Processes
from llm.training.muon import ALONE
from llm.training.run_file import Optimiser
from llm.training.strategy import LeftTogether, Outcome, irrecoverable

_MOMENTS = ("exp_avg", "exp_avg_sq")
_BEFORE_FIRST_PIECE = -1  # what ZeRO-2 counts pieces of a batch from


class DeepSpeedMissingError(ExpectedError, ImportError):
    """DeepSpeed is asked for and not installed; names the extra."""


class ZeroNotPossibleError(ExpectedError, ValueError):
    """ZeRO is asked for together with what it cannot do; names the way out."""


class Zero:
    """See `Strategy`.

    Args:
        stage: 2 or 3.
        precision: "bf16" or "fp32", of what is multiplied; weights, sums and what is sent are
            float32.

    Raises:
        DeepSpeedMissingError: it is not installed.
        ZeroNotPossibleError: it cannot be done with this optimiser or parametrisation, or here.
    """

    orthogonaliser = ALONE

    def __init__(
        self,
        device: torch.device,
        processes: Processes,
        stage: int,
        optimiser: Optimiser,
        parametrisation: Parametrisation,
        precision: str,
        compiled: bool,
    ) -> None:
        self.name = f"zero{stage}"
        self.processes = processes
        self._device, self._stage, self._precision = device, stage, precision
        if optimiser != "adamw":
            raise ZeroNotPossibleError(
                f"{self.name} shares out weights in pieces, and {optimiser} needs whole matrices; "
                "set parallel to fsdp or ddp, or optimiser to adamw"
            )
        if parametrisation.kind == "mup":
            raise ZeroNotPossibleError(
                f"{self.name} has DeepSpeed make the steps, and rates of their own for groups of "
                "parameters, which mup needs, have not been seen to work with it; set parallel to "
                "fsdp or ddp, or parametrisation to standard"
            )
        if compiled:
            raise ZeroNotPossibleError(
                f"{self.name} has DeepSpeed's hooks on what would be compiled, which has not been "
                "seen to work; set compile to false, or parallel to fsdp or ddp"
            )
        if device.type == "mps":
            raise ZeroNotPossibleError(f"DeepSpeed does not run on {device.type}; use ddp")
        self._deepspeed = _import(device)
        self._engine: Any = None
        self._held: dict[Tensor, _Weight2] = {}

    def wrap(self, model: Transformer) -> Transformer:
        return model.to(self._device)

    def adopt(self, model: Transformer, optimisers: list[Optimizer]) -> list[Optimizer]:
        [adamw] = optimisers
        front = _SharedAdamW(adamw)
        if self._stage == 3:
            from deepspeed.utils import set_z3_leaf_modules

            set_z3_leaf_modules(model, [Block])  # a block's weights are gathered together
        self._engine, *_ = self._deepspeed.initialize(
            model=_Hidden(model, self._device, self._precision),
            optimizer=adamw,
            config=self._config(),
            dist_init_required=False,
        )
        kind = _Weight3 if self._stage == 3 else _Weight2
        for parameter in model.parameters():
            weight = kind(parameter, self.processes)
            self._held[parameter] = weight
            parameter.keeper = weight  # type: ignore[attr-defined]
        if self._stage == 3:
            self._keep_whole([model.model.embed_tokens.weight, model.lm_head.weight])
        front.engage(self._engine, adamw, self._held)
        model.hidden = self._engine.__call__  # type: ignore[method-assign]
        return [front]

    def _config(self) -> dict[str, Any]:
        return {
            "train_micro_batch_size_per_gpu": 1,  # it divides nothing
            "gradient_accumulation_steps": 1,
            "gradient_clipping": 0.0,
            "zero_allow_untested_optimizer": True,
            "steps_per_print": 1 << 62,
            "zero_optimization": {
                "stage": self._stage,
                "overlap_comm": self._device.type == "cuda",
                "stage3_param_persistence_threshold": 0,
            },
        }

    def _keep_whole(self, tensors: list[Tensor]) -> None:
        """Never let go of some weights; after each update they are gathered again."""
        parameters: dict[Any, None] = dict.fromkeys(tensors)  # tied ones are one
        for parameter in parameters:
            parameter.ds_persist = True
            # In the first pass, whose order it learns, it would let go of the others all the same.
            parameter.is_external_param = True
        held = self._engine.optimizer.persistent_parameters
        held += list(parameters)
        held[0].all_gather(held)

    def dropping(self, stop: StopRequest) -> AbstractContextManager[None]:
        return nullcontext()  # collectives stand in the middle of the computation

    def check(self, stop: StopRequest) -> None:
        mine = Outcome.STOPPED if stop.requested else Outcome.DONE
        agreed = Outcome(self.processes.highest(mine))
        if agreed is not Outcome.DONE:
            raise LeftTogether(agreed)

    def backward(self, loss: Tensor, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss * self.processes.count)

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Done with every piece."""

    def settle(self, model: Transformer, outcome: Outcome) -> Outcome:
        if outcome is Outcome.NO_MEMORY:  # the others wait for pieces that will not come
            raise irrecoverable()
        return Outcome(self.processes.highest(outcome))

    def norms(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        held = [self._held[parameter].gradient() for parameter in parameters]
        none = torch.zeros(1, device=self._device)
        shares = torch.stack(torch._foreach_norm([none if g is None else g for g in held]))
        squares = shares.double().square()
        dist.all_reduce(squares)
        return squares.sqrt().float()

    def clip(self, parameters: Sequence[nn.Parameter], largest: float, norm: Tensor) -> None:
        share = (largest / (norm + 1e-6)).clamp(max=1.0)  # as PyTorch has it
        for parameter in parameters:
            gradient = self._held[parameter].gradient()
            if gradient is not None:
                gradient.mul_(share)

    def clear(self, model: Transformer) -> None:
        zero = self._engine.optimizer
        zero.zero_grad()
        # Of a step that is not taken, also what was reduced.
        if self._stage == 3:
            zero.averaged_gradients = {}
            return
        zero.micro_step_id = _BEFORE_FIRST_PIECE
        for held in (zero.averaged_gradients, zero.all_grad_tensors):
            for group in held:
                held[group] = None

    def recover(self, model: Transformer) -> None:
        raise irrecoverable()

    def whole(self, model: Transformer) -> Transformer | None:
        gathered = Transformer(model.architecture) if self.processes.first else None
        mine = dict(gathered.named_parameters()) if gathered is not None else {}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                value = self._held[parameter].read()
                if gathered is not None:
                    mine[name].copy_(value)
        return gathered


class _Hidden(nn.Module):
    """A model of which DeepSpeed calls what training calls."""

    def __init__(self, model: Transformer, device: torch.device, precision: str) -> None:
        super().__init__()
        self.transformer = model
        self._device, self._precision = device, precision

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        # DeepSpeed switches off what stands around its engine.
        with devices.autocast(self._device, self._precision):
            return Transformer.hidden(self.transformer, tokens, mask)


class _Weight2:
    """A weight that every process has whole, and of which it updates one run of numbers, or none.

    `Keeper` of `llm/training/training_state.py`; a key names a state of AdamW.
    """

    def __init__(self, parameter: nn.Parameter, processes: Processes) -> None:
        self._parameter: Any = parameter
        self._processes = processes
        self.shape = tuple(parameter.shape)

    def gradient(self) -> Tensor | None:
        """What this process has of it, to be changed in place."""
        held = self._parameter._hp_mapping
        if held is None:
            return None
        found: Tensor = held.get_lp_grad_fragment(self._parameter._index_in_param_group)
        return found

    def read(self, key: str | None = None) -> Tensor:
        if key is None:
            return cast("Tensor", self._parameter.detach())
        return _for_the_first(self._parameter.get_full_hp_param(key), self._processes)

    def write(self, value: Tensor, key: str | None = None) -> None:
        value = value.to(self._parameter.device)
        if key is None:
            self._parameter.copy_(value)
        self._parameter.set_full_hp_param(value, key)


class _Weight3(_Weight2):
    """A weight that is cut into as many runs of numbers as there are processes, the last of them
    filled up with zeros."""

    def __init__(self, parameter: nn.Parameter, processes: Processes) -> None:
        super().__init__(parameter, processes)
        self.shape = tuple(self._parameter.ds_shape)

    def gradient(self) -> Tensor | None:
        found: Tensor = self._zero.get_local_fp32_grad_for_param(self._parameter)
        return found

    def read(self, key: str | None = None) -> Tensor:
        return _for_the_first(self._zero.get_full_hp_param(self._parameter, key), self._processes)

    def write(self, value: Tensor, key: str | None = None) -> None:
        share = self._parameter.ds_tensor
        whole = value.new_zeros(share.numel() * self._processes.count)
        whole[: value.numel()] = value.flatten()
        mine = whole.view(self._processes.count, -1)[self._processes.rank].to(share.device)
        self._zero.set_local_hp_param(mine, self._parameter, key)
        if key is None:
            share.copy_(mine)
            if self._parameter.ds_persist:
                self._parameter.data.copy_(value.to(share.device))

    @property
    def _zero(self) -> Any:
        return self._parameter._z3_optimizer


def _for_the_first(value: Tensor, processes: Processes) -> Tensor:
    """What the first process writes: out of a GPU's way, which has no room for all of them."""
    return value.cpu() if processes.first else value


class _SharedAdamW(Optimizer):
    """An AdamW whose states DeepSpeed shares out; from outside they are whole.

    Attributes:
        found_inf: see `Muon`.
    """

    def __init__(self, adamw: Optimizer) -> None:
        groups = [{**group, "params": list(group["params"])} for group in adamw.param_groups]
        super().__init__(groups, {})
        self.found_inf: Tensor | None = None
        self._engine: Any = None
        self._adamw = adamw

    def engage(self, engine: Any, adamw: Optimizer, held: dict[Tensor, _Weight2]) -> None:
        """Begin, with an engine that has taken the optimiser over."""
        self._engine, self._adamw = engine, adamw
        self._weights = held
        self.state = _States(engine.optimizer, adamw, held)  # type: ignore[assignment]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Gradients are those of the engine; they are forgotten."""
        for mine, theirs in zip(self.param_groups, self._adamw.param_groups, strict=True):
            theirs["lr"] = mine["lr"]
        self._adamw.found_inf = self.found_inf  # type: ignore[attr-defined]
        self._engine.step()

    def state_dict(self) -> dict[str, Any]:
        """Parameter groups alone: no process has room for all states, which `state` has one by
        one."""
        numbers = iter(range(sum(len(group["params"]) for group in self.param_groups)))
        groups = [
            {**group, "params": [next(numbers) for _ in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": {}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Whole states, as those of an optimiser whose parameters are whole."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        found = {parameters[place]: held for place, held in state_dict["state"].items()}
        if not found:
            self.state.clear()
            return
        cast("_States", self.state).begin(next(iter(found.values()))["step"])
        for parameter, held in found.items():
            for key in _MOMENTS:
                self._weights[parameter].write(held[key], key)


class _States:
    """parameter -> name -> whole state. Every process asks for the same ones, in one order.

    They are there from the beginning: those AdamW makes in its first step, DeepSpeed would look
    for after the first of its parameter groups.
    """

    def __init__(self, zero: Any, adamw: Optimizer, held: dict[Tensor, _Weight2]) -> None:
        self._zero, self._adamw, self._held = zero, adamw, held
        self.clear()

    def __getitem__(self, parameter: Tensor) -> dict[str, Tensor]:
        count = next(iter(self._adamw.state.values()))["step"]
        return {"step": count, **{key: self._held[parameter].read(key) for key in _MOMENTS}}

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._held)

    def clear(self) -> None:
        """As before the first step."""
        self.begin(torch.zeros(()))

    def begin(self, count: Tensor) -> None:
        """Moments of zeros, as after so many steps."""
        shares = getattr(self._zero, "fp32_partitioned_groups_flat", None)  # ZeRO-3's
        for share in shares or self._zero.single_partition_of_fp32_groups:
            state = self._adamw.state[share]
            state["step"] = count.to(share.device, copy=True)
            state.update({key: torch.zeros_like(share) for key in _MOMENTS})
        if shares is None:
            self._zero._hp_optimizer_states_linked = False
            self._zero._lazy_init_hp_params_optimizer_state()


def _import(device: torch.device) -> Any:
    """DeepSpeed, made to use this kind of device and to say only what is wrong."""
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    try:
        import deepspeed
    except ImportError as error:
        raise DeepSpeedMissingError(
            f"pretrain.parallel zero2 and zero3 need DeepSpeed, which is not installed ({error}); "
            "install it with `pip install --no-build-isolation --constraint requirements.lock "
            "--editable '.[deepspeed]'`"
        ) from error
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
    return deepspeed
