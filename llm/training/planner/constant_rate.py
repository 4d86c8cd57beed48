"""Settings of steps that are done for their time, or to be compared: a constant learning rate."""

from __future__ import annotations

from llm.model.parametrisation_choice import STANDARD
from llm.training.run_file import Optimisation, Optimiser, Precision


def constant_rate(
    batch_rows: int,
    precision: Precision,
    optimiser: Optimiser = "adamw",
    document_mask: bool = False,
) -> Optimisation:
    """A run without end, in which nothing is validated."""
    return Optimisation(
        steps=10**6,
        batch_rows=batch_rows,
        optimiser=optimiser,
        learning_rate=1e-3,
        schedule="wsd",
        warmup_steps=0,
        decay_share=1e-6,
        final_share=1.0,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        z_loss=0.0,
        document_mask=document_mask,
        precision=precision,
        validate_every=10**6,
        validation_rows=0,
        seed=0,
        outlier_sigmas=6.0,
        parametrisation=STANDARD,
    )
