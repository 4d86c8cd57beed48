"""What must hold between the stages of a recipe, seen before any of them runs.

Much of what a late stage cannot do is decided by the field of an early one, and would show hours
later. A check is a function over the configs of the stages it is declared with; it says what is
wrong, naming the fields of both, and what would do. It is asked where a recipe has them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.engine.identity.snapshot import root

if TYPE_CHECKING:
    from tasks.stages.dedup import DedupConfig
    from tasks.stages.dpo import DpoConfig
    from tasks.stages.evaluate import EvaluateConfig
    from tasks.stages.examples import ExamplesConfig
    from tasks.stages.export import ExportConfig
    from tasks.stages.filter import FilterConfig
    from tasks.stages.pack import PackConfig
    from tasks.stages.pretrain import PretrainConfig
    from tasks.stages.quality import QualityConfig
    from tasks.stages.sft import SftConfig
    from tasks.stages.source import SourceConfig
    from tasks.stages.tokenizer import TokenizerConfig

Check = Callable[..., Iterator[str]]
_CHECKS: list[tuple[tuple[str, ...], Check]] = []
# Of ChatML: the three special tokens of a turn and the opening of the next, the newline between
# them, "assistant" and a newline; the user's role is counted with what the user says.
_FRAME_TOKENS, _FRAME_BYTES = 6, len("user\n\nassistant\n") + 3
_CONTEXT = "the model's context, pack.sequence_length"


def _for_stages(*stages: str) -> Callable[[Check], Check]:
    """Declare a check on the configs of these stages, which it is given in this order; one whose
    name ends in `?` may be missing, and is None then."""

    def declare(check: Check) -> Check:
        _CHECKS.append((stages, check))
        return check

    return declare


def problems(configs: Mapping[str, StageConfig]) -> list[str]:
    """Everything that does not go together in these configs, by stage name."""
    return [
        problem
        for stages, check in _CHECKS
        if all(stage in configs or stage.endswith("?") for stage in stages)
        for problem in check(*(configs.get(stage.removesuffix("?")) for stage in stages))
    ]


def require(configs: Mapping[str, StageConfig], source: str) -> None:
    """Make sure that the stages of a recipe go together.

    Args:
        source: what the recipe was loaded by, for the message.

    Raises:
        RecipeError: they do not; names all there is.
    """
    found = problems(configs)
    if found:
        raise RecipeError("\n".join(f"{source}: {problem}" for problem in found))


@_for_stages("pack", "sft")
def _sft_rows(pack: PackConfig, sft: SftConfig) -> Iterator[str]:
    yield from _rows_fit("sft", sft.max_length, pack.sequence_length)


@_for_stages("pack", "dpo")
def _dpo_rows(pack: PackConfig, dpo: DpoConfig) -> Iterator[str]:
    yield from _rows_fit("dpo", dpo.max_length, pack.sequence_length)


def _rows_fit(stage: str, length: int, context: int) -> Iterator[str]:
    if length > context:
        yield (
            f"{stage}.max_length: {length} is more than {_CONTEXT}: {context}; lower it (0 = the "
            "context), or raise pack.sequence_length"
        )


@_for_stages("tokenizer", "pack", "evaluate")
def _evaluate_prompts(
    tokenizer: TokenizerConfig, pack: PackConfig, evaluate: EvaluateConfig
) -> Iterator[str]:
    context, longest = pack.sequence_length, tokenizer.longest_token
    yield from _answers_fit("evaluate", evaluate.new_tokens, context)
    yield from _texts_fit("evaluate.prompts", evaluate.prompts, context, longest, chat=True)
    yield from _texts_fit("evaluate.continuations", evaluate.continuations, context, longest)


@_for_stages("tokenizer", "pack", "export")
def _export_prompts(
    tokenizer: TokenizerConfig, pack: PackConfig, export: ExportConfig
) -> Iterator[str]:
    context = pack.sequence_length
    yield from _answers_fit("export", export.new_tokens, context)
    yield from _texts_fit("export.prompts", export.prompts, context, tokenizer.longest_token)


def _answers_fit(stage: str, new_tokens: int, context: int) -> Iterator[str]:
    if new_tokens >= context:
        yield (
            f"{stage}.new_tokens: {new_tokens} leaves no room for a prompt in {_CONTEXT}: "
            f"{context}; lower it, or raise pack.sequence_length"
        )


def _texts_fit(
    field: str, texts: Iterable[str], context: int, longest_token: int, chat: bool = False
) -> Iterator[str]:
    """What no tokenizer of the recipe could make fit; what it will make is not known yet."""
    for place, text in enumerate(texts):
        size = len(text.encode()) + (_FRAME_BYTES if chat else 0)
        if 0 < size < context:
            continue  # no token is less than a byte
        if not size:
            yield f"{field}.{place}: an empty text has no token to go on from; give it one"
            continue
        from llm.tokens.bpe import min_tokens

        opened = f"user\n{text}" if chat else text
        shortest = min_tokens(opened, longest_token) + (_FRAME_TOKENS if chat else 0)
        if shortest >= context:
            yield (
                f"{field}.{place}: {text[:40]!r} has at least {shortest} tokens, which leave no "
                f"room for an answer in {_CONTEXT}: {context}; shorten it, or raise "
                "pack.sequence_length"
            )


@_for_stages("dedup", "evaluate")
def _validation_documents(dedup: DedupConfig, evaluate: EvaluateConfig) -> Iterator[str]:
    if not dedup.validation_fraction:
        yield (
            "dedup.validation_fraction: 0 holds no document out, and evaluate scores validation "
            "documents; raise it, or remove the section evaluate"
        )


@_for_stages("examples", "sft")
def _some_instructions(examples: ExamplesConfig, sft: SftConfig) -> Iterator[str]:
    made = examples.make_from_documents and examples.max_instructions
    if not made and not examples.instruction_files:
        yield _none_made("sft", "instructions", "instruction_files", "max_instructions")


@_for_stages("examples", "dpo")
def _some_preferences(examples: ExamplesConfig, dpo: DpoConfig) -> Iterator[str]:
    made = examples.make_from_documents and examples.max_preferences
    if not made and not examples.preference_files:
        yield _none_made("dpo", "preferences", "preference_files", "max_preferences")


def _none_made(stage: str, kind: str, files: str, cap: str) -> str:
    return (
        f"{stage}: learns from {kind}, and examples makes none; name examples.{files}, "
        f"or set make_from_documents and {cap} there"
    )


@_for_stages("source", "pack")
def _weights_of_sources(source: SourceConfig, pack: PackConfig) -> Iterator[str]:
    names = [spec.name for spec in source.sources]
    for place, weight in enumerate(pack.weights):
        if weight.source not in names:
            yield (
                f"pack.weights.{place}.source: {weight.source!r} is none of source.sources, "
                f"which are {', '.join(names)}"
            )


@_for_stages("filter", "quality?")
def _rules_have_columns(filtering: FilterConfig, quality: QualityConfig | None) -> Iterator[str]:
    import pyarrow as pa

    from llm.corpus.annotate.attributes import ATTRIBUTES, score_fields
    from llm.corpus.filter.rules import ColumnTypeError, UnknownColumnError, check_rules
    from tasks.stages.filter import plain_rules
    from tasks.stages.quality import classifiers_of

    scores = score_fields(classifiers_of(quality)) if quality else []
    columns = pa.schema([*ATTRIBUTES, *scores])
    for place, rule in enumerate(plain_rules(filtering)):
        try:
            check_rules([rule], columns)
        except (UnknownColumnError, ColumnTypeError) as error:
            yield f"filter.rules.{place}: {error}"


@_for_stages("pack", "pretrain")
def _same_architecture(pack: PackConfig, pretrain: PretrainConfig) -> Iterator[str]:
    """Of the model to go on from, as far as its config.json says it; the rest it says itself."""
    if not pretrain.continue_from:
        return
    try:
        path = root() / pretrain.continue_from / "config.json"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # missing files are told with the others that are missing
    wanted = {
        "hidden_size": ("hidden_size", pretrain.hidden_size),
        "num_hidden_layers": ("layers", pretrain.layers),
        "num_attention_heads": ("heads", pretrain.heads),
        "num_key_value_heads": ("key_value_heads", pretrain.key_value_heads),
        "max_position_embeddings": ("pack.sequence_length", pack.sequence_length),
        "tie_word_embeddings": ("tied_embeddings", pretrain.tied_embeddings),
    }
    differ = [
        f"{field} {found[name]} there, {value} here"
        for name, (field, value) in wanted.items()
        if name in found and found[name] != value
    ]
    if differ:
        yield (
            f"pretrain.continue_from: the model in {pretrain.continue_from} is of another "
            f"architecture: {', '.join(differ)}; set the fields to what it has"
        )
