"""What a run of supervised fine-tuning is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from llm.alignment.run_file import AdaptedRun
from llm.alignment.source_weights import SourceWeight

Learn = Literal["all", "last"]
Packing = Literal["none", "bfd"]


@dataclass(frozen=True)
class SftRun(AdaptedRun):
    """Supervised fine-tuning.

    Attributes:
        learn: "all" answers of a conversation, or the "last".
        packing: "bfd" = several rows, each seeing itself alone, in one of `max_length`; "none".
        start_from: folder that another program wrote, to be laid out as ours and taken in place of
            `model`; "" = `model` is taken.
        chat_template: file that is its chat template then; "" = its own.
        weights: how often a pass draws rows of a source; 1 where none fits.
    """

    learn: Learn
    packing: Packing
    start_from: str
    chat_template: str
    weights: list[SourceWeight]

    @property
    def packed(self) -> bool:
        """Whether several rows share one of `max_length`."""
        return self.packing == "bfd"

    def axolotl(self) -> dict[str, Any]:
        """See `Run.axolotl`."""
        rows = {
            "type": "chat_template",
            "field_messages": "messages",
            "roles_to_train": ["assistant"],
            "message_field_training": "train",  # false where an answer is not to be learned
            "train_on_eos": "turn",
        }
        return {"rows": rows, "train_on_inputs": False, "sample_packing": self.packed}


RUN = SftRun
