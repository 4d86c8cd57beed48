"""Questions, answers and pairs out of real pages of documentation."""

from __future__ import annotations

import bisect
import inspect
import textwrap
from collections import Counter
from dataclasses import replace

import pytest

from llm.alignment.examples.tables import Dropped, Example
from llm.pydocs.answers import answer, question
from llm.pydocs.pages import Definition, definitions, module_of
from llm.pydocs.pairs import Document, PairSettings, examples_of
from tests.llm.pydocs.documentation import pages

SETTINGS = PairSettings(
    min_chars=40, max_chars=600, tolerance=0.25, max_overlap=0.7, max_uses=2, seed=0
)


def page(module: str) -> list[Definition]:
    return definitions(module, pages()[f"pydocs://python/{module}"])


def outcomes(module: str, settings: PairSettings = SETTINGS) -> list[Example | Dropped]:
    url = f"pydocs://python/{module}"
    document = Document("0" * 32, url, module, pages()[url], "docs", "validation")
    return list(examples_of(document, settings))


def definition(*paragraphs: str, name: str = "shop.pay") -> Definition:
    return Definition(name, "(amount)", "function", paragraphs)


def test_every_heading_of_a_page_is_found() -> None:
    found = {d.name: d for d in page("bisect")}
    named = ("bisect_right", "bisect_left", "insort_right", "insort_left")
    assert set(found) == {"bisect", *(f"bisect.{name}" for name in named)}
    assert found["bisect"].kind == "module"
    left = found["bisect.bisect_left"]
    assert (left.kind, left.signature) == ("function", "(a, x, lo=0, hi=None, *, key=None)")
    # The docstring comes back word by word.
    assert " ".join(left.paragraphs).split() == (inspect.getdoc(bisect.bisect_left) or "").split()


def test_kinds_of_definitions() -> None:
    kinds = {d.name: d.kind for d in page("weakref")}
    assert kinds["weakref.finalize"] == "class"
    assert kinds["weakref.finalize.detach"] == "method"
    assert kinds["weakref.finalize.alive"] == "attribute"
    assert {d.name for d in page("email.message")} >= {
        "email.message.Message",
        "email.message.Message.get_payload",
        "email.message.MIMEPart.iter_parts",
    }


def test_pages_without_blank_lines_are_read_alike() -> None:
    text = pages()["pydocs://python/bisect"]
    dense = "\n".join(line for line in text.split("\n") if line)
    assert definitions("bisect", dense) == page("bisect")


def test_names_under_see_also_are_no_headings() -> None:
    lines = [
        "m",
        "m.f(x)",
        "Add one.",
        "See Also",
        "m.g",
        "m.h",
        "Notes",
        "Slow.",
        "m.g(y)",
        "Double.",
    ]
    found = definitions("m", "\n\n".join(lines))
    assert [d.name for d in found] == ["m", "m.f", "m.g"]
    assert found[2].paragraphs == ("Double.",)


def test_what_is_a_page_of_documentation() -> None:
    assert module_of("pydocs://numpy/numpy.linalg") == "numpy.linalg"
    assert module_of("pydocs://numpy/README") is None
    assert module_of("https://example.org/numpy") is None
    assert module_of(None) is None


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        (("Pay the amount given", "Never twice.", "Parameters", "amount : int"), 2),
        (("Pay the amount given.", "    >>> pay(3)\n    3", "Done twice."), 1),
        (("Pay the amount given.", "For example:", "pay(3)"), 1),
        (("Pay one of:", "a, b"), 0),
        (("Pay it",), 0),
        (("amount: what to pay in coins",), 0),
        (("pay(amount) -> coins given back",), 0),
    ],
)
def test_an_answer_is_the_leading_prose(paragraphs: tuple[str, ...], expected: int) -> None:
    assert answer(definition(*paragraphs), 600) == ("\n\n".join(paragraphs[:expected]) or None)


def test_an_answer_skips_its_own_signature() -> None:
    repeated = definition("pay(amount,\n    currency=None)", "Pay the amount given.")
    assert answer(repeated, 600) == "Pay the amount given."


def test_an_answer_is_cut_behind_a_sentence() -> None:
    text = "Pay coins, e.g. Thalers. Then wait (for change.) A receipt comes last."
    assert answer(definition(text), 60) == "Pay coins, e.g. Thalers. Then wait (for change.)"
    assert answer(definition(text), 30) == "Pay coins, e.g. Thalers."
    assert answer(definition(text), 20) is None
    assert answer(definition("Pay it all.", text), 40) == (
        "Pay it all.\n\nPay coins, e.g. Thalers."
    )


def test_wordings_vary_and_are_fixed_by_seed_and_name() -> None:
    several = [definition("x", name=f"shop.pay{n}") for n in range(40)]
    asked = [question(d, 0) for d in several]
    assert asked == [question(d, 0) for d in several]
    assert asked != [question(d, 1) for d in several]
    assert all(d.name in text for d, text in zip(several, asked, strict=True))
    patterns = {text.replace(d.name, "N") for d, text in zip(several, asked, strict=True)}
    assert len(patterns) >= 4


def test_examples_say_what_the_docstrings_say() -> None:
    made = [o for o in outcomes("textwrap") if isinstance(o, Example) and o.kind == "instruction"]
    answers = {o.turns[0][0].content: o.turns[0][1].content for o in made}
    dedent = next(text for asked, text in answers.items() if "textwrap.dedent" in asked)
    first = (inspect.getdoc(textwrap.dedent) or "").split("\n\n")[0].replace("`", "")
    assert dedent.split("\n\n")[0].split() == first.split()
    assert all((o.split, o.parents) == ("validation", ("0" * 32,)) for o in made)


@pytest.mark.parametrize("module", ["email.message", "weakref", "heapq"])
def test_pairs_reject_a_sibling_of_about_the_same_length(module: str) -> None:
    found = outcomes(module)
    instructions = [o for o in found if isinstance(o, Example) and o.kind == "instruction"]
    own = {o.turns[0][0]: o.turns[0][1].content for o in instructions}
    pairs = [o for o in found if isinstance(o, Example) and o.kind == "preference"]
    assert pairs
    uses: Counter[str] = Counter()
    for pair in pairs:
        (asked,), (better,), (worse,) = pair.turns
        assert own[asked] == better.content != worse.content
        assert worse.content in own.values()
        assert abs(len(worse.content) - len(better.content)) <= 0.25 * len(better.content)
        uses[worse.content] += 1
    assert max(uses.values()) <= SETTINGS.max_uses
    # Every instruction is a pair as well, or says that no sibling fits.
    lonely = [o for o in found if isinstance(o, Dropped) and o.reason == "no_sibling"]
    assert len(pairs) + len(lonely) == len(instructions)


def test_every_definition_has_two_fates_under_ids_of_their_own() -> None:
    found = outcomes("email.message")
    assert len(found) == 2 * len(page("email.message"))
    assert len({o.doc_id for o in found}) == len(found)
    assert outcomes("email.message") == found
    longer = outcomes("email.message", replace(SETTINGS, min_chars=120))
    short = [o for o in longer if isinstance(o, Dropped) and o.reason == "short"]
    assert short
    assert all((o.value or 0) < 120 == o.threshold for o in short)
    assert len(longer) == len(found)


def test_too_similar_answers_are_no_pair() -> None:
    strict = PairSettings(40, 600, 1.0, 0.2, 9, 0)
    for outcome in outcomes("bisect", strict):
        # insort_left and insort_right differ in two words.
        assert isinstance(outcome, Dropped) or outcome.kind == "instruction"
