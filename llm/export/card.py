"""The card of an exported model: what it is, where it comes from, how good it is, what it is for.

Its head is what the Hugging Face hub reads, scores in it as a `model-index`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.evaluation.safety.subjects import is_of_safety, subject, unmeasured
from llm.export.run_file import About
from llm.foreign.folder import shape_in
from llm.model.config_file import architecture, is_ours
from llm.tokens.hf_folder import load_tokenizer

CARD = "README.md"
_SPECIALS_SHOWN = 8  # some tokenizers have hundreds

_COLUMNS = ("metric", "value", "95 % interval", "items")
_LOAD = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
{use}
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0]))
```"""
_CHAT = """turns = [{"role": "user", "content": "..."}]
inputs = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)"""
_TEXT = """# A special token that the text spells out is text.
inputs = tokenizer("...", split_special_tokens=True, return_tensors="pt")"""
_TYPED = (
    "`apply_chat_template` takes a special token that a message spells out ({specials}) for the "
    "token: it would end the turn. Take them out of what others write."
)
_INTENDED = (
    "For text like that it was trained on, and to study how it was made. Nothing was done to make "
    "what it says true, harmless or free of bias beyond what the scores show: let a person look at "
    "it before anything depends on it."
)
_UNMEASURED = "No scores of this model were given to the export: nothing is claimed of its quality."
_MEASURED = "On validation documents and examples, held out of every training step."
_SAFE = (
    "What rules and lists find, and a judging model where it graded; of training documents, what "
    "is said after their first half."
)
_UNSAFE = "Nothing was measured of its safety."
_UNSTATED = (
    "The licence of the weights is not stated: whoever publishes them decides on it, in view of "
    "the licences of the training data."
)


@dataclass(frozen=True)
class CardScore:
    """One score: its 95 % interval, where there is one, and the number of items behind it."""

    metric: str
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class CardText:
    """What only those who made the model can say of it.

    Attributes:
        chat: the model takes turns; else it goes on with a text.
        figures: what else there is to know, by name: where it comes from, tokens seen.
        intended_use: a paragraph; empty = the usual caution.
        scores: None where none were given; those of safety stand in a table of their own.
    """

    about: About
    chat: bool
    figures: Mapping[str, str | int]
    intended_use: str
    scores: Sequence[CardScore] | None


def write_card(folder: Path, text: CardText) -> None:
    """Write the model card beside the files."""
    import yaml

    about = text.about
    kind = (
        "takes turns in its chat template"
        if text.chat
        else "is a base model: it goes on with a text"
    )
    scores = [score for score in text.scores or () if not is_of_safety(score.metric)]
    parts = [
        f"---\n{yaml.safe_dump(_head(text), sort_keys=False, allow_unicode=True)}---",
        f"# {about.name}",
        f"This model {kind}. Weights are float32; no code of its own is needed to load it.",
        _table(("", ""), _known(folder, text.figures)),
        "## Intended use",
        text.intended_use or _INTENDED,
        "## Scores",
        _MEASURED if scores else _UNMEASURED,
    ]
    if scores:
        parts.append(_table(_COLUMNS, map(_score_row, scores)))
    parts += [
        "## Safety",
        *_safety([score for score in text.scores or () if is_of_safety(score.metric)]),
        "## Training data and licences",
        _licences(about),
        "## Lineage",
        _table(("", ""), [(fact.name, fact.value) for fact in about.lineage]),
        "## Loading",
        _LOAD.format(use=_CHAT if text.chat else _TEXT),
    ]
    if text.chat:
        added = load_tokenizer(folder).get_added_tokens_decoder().values()
        specials = [f"`{token.content}`" for token in added if token.special]
        parts.append(_TYPED.format(specials=", ".join(specials[:_SPECIALS_SHOWN])))
    (folder / CARD).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _safety(scores: Sequence[CardScore]) -> list[str]:
    """What was measured, and what was not."""
    found = [_UNSAFE]
    if scores:
        rows = [(subject(score.metric), *_score_row(score)[1:]) for score in scores]
        found = [_SAFE, _table(_COLUMNS, rows)]
    missing = "\n".join(f"- {each}" for each in unmeasured([score.metric for score in scores]))
    return [*found, f"Not measured:\n\n{missing}"]


def _head(text: CardText) -> dict[str, Any]:
    """What programs read, in the hub's names."""
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if text.about.license:
        head["license"] = text.about.license
    head["tags"] = ["ingot", "conversational"] if text.chat else ["ingot"]
    if text.scores:
        metrics = [
            {"type": score.metric, "name": score.metric.replace("_", " "), "value": score.value}
            for score in text.scores
        ]
        result = {
            "task": {"type": "text-generation"},
            "dataset": {"name": "held-out part of the training corpus", "type": "validation"},
            "metrics": metrics,
        }
        head["model-index"] = [{"name": text.about.name, "results": [result]}]
    return head


def _known(folder: Path, figures: Mapping[str, str | int]) -> list[tuple[str, str | int]]:
    if not is_ours(folder):
        return [*shape_in(folder).items(), *figures.items()]
    a = architecture(folder)
    known: dict[str, str | int] = {
        "architecture": "Qwen3ForCausalLM" if a.qk_norm else "LlamaForCausalLM",
        "parameters": a.parameters,
        "layers": a.layers,
        "hidden size": a.hidden_size,
        "query heads": a.heads,
        "key/value heads": a.key_value_heads,
        "head size": a.head_dim,
        "context, tokens": a.context,
        "vocabulary, tokens": a.vocabulary_size,
        "output matrix": "the embedding" if a.tied else "of its own",
        **figures,
    }
    return list(known.items())


def _score_row(score: CardScore) -> tuple[str, str, str, int]:
    interval = ""
    if score.low is not None and score.high is not None:
        interval = f"{score.low:.4g} to {score.high:.4g}"
    return score.metric, f"{score.value:.4g}", interval, score.n


def _licences(about: About) -> str:
    stated = f"The weights are under {about.license}." if about.license else _UNSTATED
    sources = ", ".join(about.sources) or "not known to the export"
    terms = "\n".join(f"- {terms}" for terms in about.data_licenses) or "- not known to the export"
    return f"{stated} Sources: {sources}. Their licences, as they state them:\n\n{terms}"


def _table(columns: Sequence[str], rows: Any) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value.replace("|", "\\|")
