"""mix: how much of each source to train on, found with small models of many mixtures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from llm.mixing.draws import plan
from llm.mixing.law import UnfittableError
from llm.mixing.proposal import NoMixtureError, require_mixture
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages.mix_config import (
    MixConfig,
    documents_held_out,
    named_sources,
    rows_by_source,
    sources_exist,
    whole_sources,
)
from tasks.stages.mix_data import UnmixableError, held_out, source_rows
from tasks.stages.mix_panels import in_words, panels
from tasks.stages.mix_proxies import train_proxies
from tasks.stages.mix_result import PROXIES, WEIGHTS, Sources, result


def run(config: MixConfig, inputs: Inputs, out: Out) -> None:
    """Train and measure small models in processes of their own, fit, propose.

    Raises:
        UnmixableError: sources, held-out text or limits make no search, which is found before any
            training; or what was measured follows no law.
        TrainerError: a small model failed; those that are finished stay.
        CancelledError: it was stopped; the same.
    """
    rows = source_rows(inputs["sequences"])
    sources = _sources(config, {name: each.tokens for name, each in rows.items()})
    tokens = dict(zip(rows, (each.tokens for each in rows.values()), strict=True))
    drawn = plan(tokens, config.added, config.proxies, config.proxies_per_added, config.seed)
    held = held_out(inputs["tokens"], list(rows), config.held_out_bytes)
    trained = train_proxies(config, inputs, out, rows, drawn, held)
    try:
        found = result(sources, drawn, [each["bits"] for each in trained])
    except UnfittableError as error:
        raise UnmixableError(
            f"mix: {error}; raise mix.tokens, mix.learning_rate or mix.proxies"
        ) from error
    with out.table("weights") as writer:
        writer.write(found.weights_table())
    with out.table("proxies") as writer:
        names = [each["name"] for each in trained]
        writer.write(found.proxies_table(names, [each["tokens"] for each in trained]))
    facts = found.facts() | {
        "proxies": len(trained),
        "parameters": trained[0]["parameters"],
        "seconds": {each["name"]: round(each["seconds"], 1) for each in trained},
    }
    for name, value in facts.items():
        out.fact(name, value)
    out.conserve(len(drawn), len(trained), unit="mixture")
    out.log(in_words(facts))


def _sources(config: MixConfig, tokens: Mapping[str, int]) -> Sources:
    """What there is to mix.

    Raises:
        UnmixableError: the config names other sources, or nothing can be searched for.
    """
    names = list(tokens)
    for field, name in named_sources(config):
        if name not in names:
            raise UnmixableError(
                f"{field}: no train row is of source {name!r}; there are {', '.join(names)}"
            )
    if len(names) - len(config.added) < 2:
        raise UnmixableError(
            "mix.added: of the sources, which are "
            f"{', '.join(names)}, two at least must have been there from the beginning"
        )
    tried = config.proxies + config.proxies_per_added * len(config.added)
    if tried < len(names) + 3:  # one is left out at a time
        raise UnmixableError(
            f"mix.proxies: {tried} mixtures for {len(names)} sources determine no law; it needs "
            f"{len(names) + 3}, and four times the sources to be trusted"
        )
    importance = {each.source: each.importance for each in config.importance}
    sources = Sources(
        names,
        np.array(list(tokens.values()), dtype=np.float64),
        np.array([importance.get(name, 1.0) for name in names]),
        config.target_tokens or sum(tokens.values()),
        config.max_epochs,
    )
    if not sources.importance.any():
        raise UnmixableError("mix.importance: all sources count 0; let one count more")
    try:
        require_mixture(sources.limits)
    except NoMixtureError as error:
        raise UnmixableError(
            f"mix.max_epochs: with each source gone through {config.max_epochs:g} times at most "
            f"in {sources.target_tokens:,} tokens, {error}; raise it, lower mix.target_tokens, or "
            "add sources"
        ) from error
    return sources


STAGE = Stage(
    name="mix",
    version=1,
    description="How much of each source to train on, found with small models of many mixtures.",
    config=MixConfig,
    inputs={
        "sequences": Input(("pack.sequences",), "Rows of tokens, of one source each."),
        "tokens": Input(("pack.tokens",), "Tokens of documents: the validation ones."),
        "tokenizer": Input(("tokenizer.tokenizer",), "The tokenizer they were made with."),
    },
    outputs={
        "weights": Output("The mixture proposed, and what is to be expected of it.", WEIGHTS),
        "proxies": Output("Mixtures tried, and bits per byte by domain.", PROXIES),
    },
    run=run,
    panels=panels,
    requires=(
        Requirement(("pack.by_source",), rows_by_source),
        Requirement(("pack.slice_names",), whole_sources),
        Requirement(("dedup.validation_fraction",), documents_held_out),
        Requirement(("source.names",), sources_exist),
    ),
    reproducible=False,
    libraries=("torch", "numpy", "scipy", "safetensors"),
    code=("llm.mixing.__main__",),
)
