"""What benchmarks of training share: one step of each side.

Both sides train a Qwen3 of the same sizes from the same weights on the same rows: Ingot through
its `Stepper`, transformers through `Qwen3ForCausalLM` as its users write it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.parametrisation import plain
from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.tokens.token_file import TokenFile
from llm.training import devices, optimisers
from llm.training.compilation import compile_blocks, compiled_softmax
from llm.training.distributed import Processes
from llm.training.loss import softmax
from llm.training.run_file import Optimisation
from llm.training.single_process import Single
from llm.training.step import Stepper, read_rows
from llm.training.strategy import Strategy

Step = Callable[[int, "NDArray[np.int64]"], float]


def fresh(architecture: Architecture) -> Transformer:
    """The weights both start from."""
    model = Transformer(architecture)
    initialise(model, 0)
    return model


def stepper(
    architecture: Architecture,
    tokens: TokenFile,
    o: Optimisation,
    device: torch.device,
    cache: Path | None,
    micro_batch_rows: int = 0,
    strategy: Strategy | None = None,
) -> Stepper:
    """Ingot's step as its trainer builds it.

    Args:
        cache: folder for compiled code; `None` = uncompiled.
        strategy: `None` = one process.
    """
    strategy = strategy or Single(device, Processes(0, 1))
    model = fresh(architecture)
    if cache is not None and not compile_blocks(model, cache, device):
        raise SystemExit("this machine compiles nothing; there is nothing to compare")
    shares = softmax if cache is None else compiled_softmax()
    placed = strategy.wrap(model)
    return Stepper(placed, o, tokens, device, strategy, micro_batch_rows, StopRequest(), shares)


def ours(*arguments: Any) -> Step:
    """Ingot's step (arguments of `stepper`), from step and rows to the loss."""
    step = stepper(*arguments)
    return lambda number, rows: step(number, rows).read().loss


def transformers_model(model: Transformer) -> transformers.Qwen3ForCausalLM:
    """The same model in transformers, with the same weights."""
    a = model.architecture
    config = transformers.Qwen3Config(
        vocab_size=a.vocabulary_size,
        hidden_size=a.hidden_size,
        intermediate_size=a.intermediate_size,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.key_value_heads,
        head_dim=a.head_dim,
        max_position_embeddings=a.context,
        rope_parameters={"rope_type": "default", "rope_theta": a.rope_theta},
        rms_norm_eps=a.norm_eps,
        tie_word_embeddings=a.tied,
    )
    other = transformers.Qwen3ForCausalLM(config)
    other.load_state_dict(model.state_dict())
    return other


def theirs(
    architecture: Architecture,
    tokens: TokenFile,
    o: Optimisation,
    device: torch.device,
    compiled: bool,
    micro_batch_rows: int = 0,
) -> Step:
    """A step of transformers' model, with the same optimiser, learning rate and clipping."""
    model = transformers_model(fresh(architecture)).to(device)
    model.config.use_cache = False
    if compiled:
        model.compile(dynamic=False)
    treated = [
        (parameter, plain("matrix" if ".layers." in name and parameter.ndim == 2 else "vector"))
        for name, parameter in model.named_parameters()
    ]
    [optimiser] = optimisers.for_parameters(treated, o)
    size = micro_batch_rows or o.batch_rows

    def step(number: int, rows: NDArray[np.int64]) -> float:
        total = torch.zeros((), device=device)
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            batch = read_rows(tokens, "train", piece, "none", device)
            with devices.autocast(device, o.precision):
                # `shift_labels` are the targets as they are: both lose on the same positions.
                loss = model(
                    batch.inputs, labels=batch.targets, shift_labels=batch.targets
                ).loss * (len(piece) / len(rows))
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), o.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return float(total)

    return step
