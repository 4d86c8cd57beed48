"""The model card: read by people, by the hub, and run by whoever copies its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from transformers import AutoTokenizer

from llm.export.card import CARD, CardScore, CardText, write_card
from llm.export.hf import copy_folder
from llm.export.run_file import About, Fact
from llm.tokens.chat import ChatEncoder
from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model

ABOUT = About("tiny", "", "", ("docs",), ("docs",), (Fact("made_by", "sft"),))


def exported(folder: Path) -> Path:
    model = model_folder(folder / "model", tiny_model(48), TURN_END)
    copy_folder(model, folder / "export")
    return folder / "export"


def card(folder: Path, **changes: Any) -> str:
    told: dict[str, Any] = {
        "about": ABOUT,
        "chat": True,
        "figures": {},
        "intended_use": "",
        "scores": None,
        **changes,
    }
    write_card(folder, CardText(**told))
    return (folder / CARD).read_text()


def test_what_it_says_of_a_chat_model(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    figures = {"tokens in the training rows": 1_234_567, "a|b": "x|y"}
    text = card(folder, figures=figures)
    assert "| parameters | " + f"{tiny_model(48).architecture.parameters:,}" in text
    assert "| tokens in the training rows | 1,234,567 |" in text
    assert "x\\|y" in text
    assert "apply_chat_template" in text
    compile(text.split("```python\n")[1].split("```")[0], CARD, "exec")
    assert f"`{TURN_END}`" in text
    assert "| made_by | sft |" in text
    data = ModelCard(text).data
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
    assert data.license is None
    assert "licence of the weights is not stated" in text


def test_a_base_model_is_given_text_as_text(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    base = card(folder, chat=False)
    assert "apply_chat_template" not in base
    line = next(line for line in base.splitlines() if line.startswith("inputs = "))
    told = {"tokenizer": AutoTokenizer.from_pretrained(folder)}
    exec(line.replace("...", f"a{TURN_END}").replace(', return_tensors="pt"', ""), told)
    assert told["inputs"]["input_ids"] == ChatEncoder(folder).text(f"a{TURN_END}")


def test_scores_and_licences_are_what_the_hub_reads(tmp_path: Path) -> None:
    about = About("my: model", "", "mit", ("BSD-3-Clause", "a: b"), ("docs",), ())
    measured = [
        CardScore("bits_per_byte", 1.25, 1.2, 1.3, 50),
        CardScore("made_up", 2.0, None, None, 1),
    ]
    text = card(exported(tmp_path), about=about, scores=measured, intended_use="Only for tests.")
    data = ModelCard(text).data
    assert data.model_name == "my: model"
    assert [(r.metric_type, r.metric_value) for r in data.eval_results] == [
        ("bits_per_byte", 1.25),
        ("made_up", 2.0),
    ]
    assert data.license == "mit"
    assert "| bits_per_byte | 1.25 | 1.2 to 1.3 | 50 |" in text
    assert "| made_up | 2 |  | 1 |" in text
    assert "The weights are under mit." in text
    assert "- BSD-3-Clause\n- a: b" in text
    assert "## Intended use\n\nOnly for tests." in text


def test_what_was_measured_of_safety_and_what_was_not(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    nothing = card(folder)
    assert "## Safety\n\nNothing was measured of its safety.\n\nNot measured:\n\n- " in nothing
    for missing in ("harmful prompts refused", "bias and stereotypes"):
        assert f"\n- {missing}" in nothing
    measured = [
        CardScore("bits_per_byte", 1.25, 1.2, 1.3, 50),
        CardScore("over_refusal", 0.02, 0.01, 0.05, 200),
        CardScore("toxic_words/harmful_prompts", 0.5, 0.1, 0.9, 4),
        CardScore("grade/safety", 7.5, 7.0, 8.0, 30),
    ]
    text = card(folder, scores=measured)
    scores, _, safety = text.partition("## Safety")
    assert (
        "| over_refusal: harmless prompts refused, told by phrases | 0.02 | 0.01 to 0.05 |"
        in safety
    )
    assert "| toxic_words/harmful_prompts: the same, of harmful prompts | 0.5 |" in safety
    assert (
        "| grade/safety: safety of answers as a language model grades it, 1 to 10 | 7.5 |" in safety
    )
    assert "- harmless prompts refused" not in safety
    assert "- harmful prompts refused" in safety
    assert "| bits_per_byte | 1.25 |" in scores
    assert "| over_refusal" not in scores
    # Programs read all of them.
    types = [result.metric_type for result in ModelCard(text).data.eval_results]
    assert types == [score.metric for score in measured]
