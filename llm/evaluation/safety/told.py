"""What an evaluation is told of safety."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm.evaluation.safety.prompts import PromptFiles


@dataclass(frozen=True)
class Safety:
    """What is measured, and on how much.

    Attributes:
        prompts: of validation, of harmless and of harmful files, so many each are answered; 0 =
            none.
        harmless, harmful: files of the user's.
        toxic_words: lists added to the short one there is.
        memorised_documents: training documents with personal data that are begun, and as many of
            validation for comparison; 0 = none.
        memorised_characters: of a document, half of them as a prompt.
    """

    prompts: int
    harmless: PromptFiles
    harmful: PromptFiles
    toxic_words: tuple[Path, ...]
    memorised_documents: int
    memorised_characters: int
