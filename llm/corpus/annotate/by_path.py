"""Annotation with everything it reads named by path: what a child process can be told to do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from llm.corpus.annotate.attributes import Annotated, annotate
from llm.corpus.annotate.language import LanguageIdentifier
from llm.corpus.annotate.url_rules import BlockLists, Phrases, read_block_lists
from llm.corpus.quality.classifier import QualityClassifier

Files = tuple[tuple[str, str], ...]  # path and content of each, so that a replaced one is read anew


@dataclass(frozen=True)
class Sources:
    """What `annotate` reads besides documents.

    Attributes:
        language_model: path and sha256.
        language_alone: whether that model alone tells languages.
        language_characters: how much of a text's beginning tells its language; 0 = all.
        blocked_domains, blocked_words, toxic_words: path and sha256 of each list.
        classifiers: folder and time of writing of each; the folder's name is the classifier's.
    """

    language_model: tuple[str, str]
    language_alone: bool
    language_characters: int
    blocked_domains: Files
    blocked_words: Files
    toxic_words: Files
    classifiers: tuple[tuple[str, int], ...]


def annotate_documents(documents: pa.Table, sources: Sources) -> Annotated:
    """Attributes of documents (doc_id, url, text, robots); models are loaded once a process."""
    lists, language, classifiers, toxic = _load(sources)
    return annotate(documents, lists, language, classifiers, toxic)


@lru_cache(maxsize=1)
def _load(
    sources: Sources,
) -> tuple[BlockLists, LanguageIdentifier, dict[str, QualityClassifier], Phrases]:
    domains, words, toxic = (
        [Path(path) for path, _ in files]
        for files in (sources.blocked_domains, sources.blocked_words, sources.toxic_words)
    )
    path, _ = sources.language_model
    return (
        read_block_lists(domains, words),
        LanguageIdentifier(Path(path), sources.language_characters, sources.language_alone),
        {Path(folder).name: QualityClassifier(Path(folder)) for folder, _ in sources.classifiers},
        read_block_lists([], toxic).words,
    )
