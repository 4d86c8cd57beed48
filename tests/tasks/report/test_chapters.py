"""The chapters of the guide: all of them can be shown, and what they name is there."""

from __future__ import annotations

import ast
import inspect
import re
from functools import reduce
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flows.cli.main import COMMANDS
from tasks import stages
from tasks.panels.panels import Curve, StageView, Table
from tasks.registry import STAGES
from tasks.report import prose
from tasks.report.blocks import Bullets, Display, Figure, Heading, Listing, Paragraph
from tasks.report.formulas import Formula, FormulaError
from tasks.report.guide import NEXT_STEPS
from tasks.report.listings import UnknownCodeError, listing
from tasks.report.prose import CHAPTERS, ChapterError, read, stages_of, text_of

ROOT = Path(__file__).parents[3]
SUBJECTS = [
    "softmax", "RMSNorm", "RoPE", "GQA", "SwiGLU", "variance", "µP", "AdamW", "Muon", "cosine",
    "WSD", "cross-entropy", "Perplexity", "BPE", "MinHash", "LSH", "fastText", "Temperature",
    "Top-k", "DPO", "reward model", "RLHF", "mask",
]  # fmt: skip
STEP = Curve("Loss", "step", "nats", {"train": [(1, 8.0)]})
CONFIG = Table("Config", ["field", "value", "default", "what it is"], [("heads", "2", "4", "How")])
VIEW = StageView("Trains.", CONFIG, [STEP])


def _blocks(name: str) -> list[object]:
    return list(prose.part_of(name, {}).blocks)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_has_words_and_names_stages_and_settings_that_exist(name: str) -> None:
    part = prose.part_of(name, {})
    assert part.title
    words = " ".join(
        run.text for block in part.blocks if isinstance(block, Paragraph) for run in block.runs
    )
    assert len(words.split()) > 100
    assert set(stages_of(name)) <= set(STAGES)
    for path in re.findall(r"docs/[\w/]+\.\w+", text_of(name)):
        assert (ROOT / path).is_file(), path
    sources = "".join(path.read_text() for path in Path(stages.__path__[0]).glob("*.py")).lower()
    fences = re.findall(r"^```(settings|figures)\n(.*?)\n```", text_of(name), re.S | re.M)
    for kind, body in fences:
        for line in body.splitlines():
            stage, _, named = line.partition(": ")
            assert stage in STAGES, line
            if kind == "settings":
                fields = STAGES[stage].config.model_fields
                assert set(named.split(", ")) <= fields.keys(), line
            else:
                # Some titles are put together, of what is shown and of what it is shown.
                assert [word for word in named.lower().split() if word not in sources] == [], line


def test_every_file_is_a_chapter_and_every_subject_is_explained() -> None:
    folder = prose.files("tasks.report").joinpath("chapters")
    assert {file.name for file in folder.iterdir()} == {f"{name}.md" for name in CHAPTERS}
    everything = " ".join(text_of(chapter) for chapter in CHAPTERS)
    assert [word for word in SUBJECTS if word not in everything] == []


def _all_listings() -> list[str]:
    texts = [text_of(chapter) for chapter in CHAPTERS]
    return [
        line
        for text in texts
        for body in re.findall(r"^```code\n(.*?)\n```", text, re.S | re.M)
        for line in body.splitlines()
    ]


@pytest.mark.parametrize("name", _all_listings())
def test_code_that_is_shown_is_what_runs(name: str) -> None:
    module, _, path = name.partition(":")
    shown = listing(name)
    runs = reduce(getattr, path.split("."), import_module(module))
    assert ast.dump(ast.parse(inspect.getsource(runs))) == ast.dump(ast.parse(shown.source))


def test_code_that_is_gone_is_an_error() -> None:
    with pytest.raises(UnknownCodeError, match="has no Gone"):
        listing("llm.model.transformer:Gone")
    with pytest.raises(UnknownCodeError, match="no such module"):
        listing("llm.model.gone:RMSNorm")
    with pytest.raises(UnknownCodeError, match="MODULE:FUNCTION"):
        listing("llm.model.transformer")
    method = listing("llm.model.transformer:RMSNorm.forward")
    assert method.source.startswith("def forward(self, x: Tensor)")
    assert re.fullmatch(r"llm/model/transformer\.py:\d+", method.place)


def test_markdown_becomes_blocks() -> None:
    text = (
        "# Title\n\nA *word*, `code` and $`x_1`$,\nnext line.\n\n## Inside\n\n- one\n- **two**\n\n"
        "```math\na\n+ b\n```\n\n```figures\npretrain: Loss\npretrain: Gone\nsft: Loss\n```\n\n"
        "```settings\npretrain: heads, gone\n```\n"
    )
    title, blocks = read(text, {"pretrain": VIEW})
    assert title == "Title"
    first, heading, bullets, formula, figure, settings = blocks
    assert isinstance(first, Paragraph)
    assert [(run.kind, run.text) for run in first.runs] == [
        ("text", "A "), ("emphasis", "word"), ("text", ", "), ("code", "code"), ("text", " and "),
        ("formula", "x_1"), ("text", ","), ("text", " "), ("text", "next line."),
    ]  # fmt: skip
    assert heading == Heading("Inside")
    assert isinstance(bullets, Bullets)
    assert [[run.kind for run in item] for item in bullets.items] == [["text"], ["strong"]]
    assert formula == Display(Formula("a + b", True))
    assert figure == Figure(STEP)
    assert isinstance(settings, Figure)
    assert settings.panel.rows == [["pretrain", "heads", "2", "How"]]  # type: ignore[union-attr]


def test_what_a_chapter_cannot_have_is_an_error() -> None:
    for text in ("> quoted", "<b>markup</b>", "a ![picture](x.png)", "```python\n1\n```"):
        with pytest.raises(ChapterError):
            read(text, {})


def test_formulas_are_mathml_and_a_tree() -> None:
    formula = Formula(r"\frac{QK^\top}{\sqrt{d}}", True)
    root = ElementTree.fromstring(formula.mathml)
    assert root.tag.endswith("math")
    (fraction,) = formula.tree["in"][0]["in"]
    above, below = fraction["in"]
    assert fraction["tag"] == "mfrac"
    assert [each["tag"] for each in above["in"]] == ["mi", "msup"]
    assert below["in"][0]["tag"] == "msqrt"
    fenced = Formula(r"\left(\frac12\right)", False).tree["in"][0]["in"][0]
    assert fenced["tag"] == "fenced"
    for wrong in ("x^", r"\left( x", r"\nosuchcommand x"):
        with pytest.raises(FormulaError):
            _ = Formula(wrong, True).mathml
    listings = [block for block in _blocks("attention") if isinstance(block, Listing)]
    assert len(listings) == 5


def test_what_to_do_next_are_commands() -> None:
    known = {name for names in COMMANDS.values() for name in names}
    assert {command.split()[1] for command, _ in NEXT_STEPS} <= known
