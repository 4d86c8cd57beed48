"""Which examples stay, and that every one of them gets a row."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.alignment.examples.candidates import TABLES, CandidateResult, batches
from llm.alignment.examples.selection import Caps, ExampleSelector, Removal
from llm.alignment.examples.tables import Dropped, Example, Kind, Message, Outcome, content

ALL = Caps(instructions=10**6, preferences=10**6, validation=10**6, from_files=None, seed=0)


def example(
    asked: str,
    said: str = "So.",
    split: str = "train",
    source: str = "s",
    parents: tuple[str, ...] = (),
    kind: Kind = "instruction",
) -> Example:
    user, answer = Message("user", asked), Message("assistant", said)
    turns = ((user, answer),)
    if kind == "preference":
        return Example(kind, source, split, parents, ((user,), (answer,), ((answer),)), "w")
    return Example(kind, source, split, parents, turns, "w")


def decide(examples: list[Example], caps: Caps = ALL) -> list[Removal | None]:
    selector = ExampleSelector()
    for one in examples:
        selector.add(one)
    return selector.decide(caps)


def reasons(examples: list[Example], caps: Caps = ALL) -> list[str]:
    return [removal.reason if removal else "" for removal in decide(examples, caps)]


def test_identity_is_content_and_source() -> None:
    one = example("Why?", parents=("p",))
    assert one.doc_id == example("Why?", split="validation").doc_id
    others = [
        example("Who?"),
        example("Why?", "No."),
        example("Why?", source="t"),
        example("Why?", kind="preference"),
    ]
    assert len({one.doc_id, *(other.doc_id for other in others)}) == 5
    assert len(one.doc_id) == 32


def test_one_of_equal_examples_stays_whatever_their_source() -> None:
    rows = [example("Why?"), example("Why?", source="t"), example("Why?"), example("Why?", "No.")]
    found = decide(rows)
    assert sum(removal is None for removal in found) == 2
    assert found[3] is None
    kept = next(row.doc_id for row, removal in zip(rows, found, strict=True) if removal is None)
    assert {removal.detail for removal in found if removal} == {f"of {kept}"}


def test_of_two_equal_rows_the_validation_one_stays() -> None:
    assert reasons([example("Why?"), example("Why?", split="validation", source="z")]) == [
        "duplicate",
        "",
    ]


def test_what_begins_like_a_validation_example_does_not_train() -> None:
    held = example("Why?", "It is so.", "validation")
    rows = [
        example("  why? ", "No."),
        example("Why not?"),
        held,
        example("Why?", kind="preference"),
    ]
    assert reasons(rows) == ["validation_prompt", "", "", "validation_prompt"]
    detail = decide(rows)[0]
    assert detail is not None
    assert held.doc_id in detail.detail


def test_caps_count_examples_of_documents_by_kind_and_split() -> None:
    made = [example(f"{n}?", parents=("p",)) for n in range(30)]
    held = [example(f"{n}!", split="validation", parents=("p",)) for n in range(20)]
    own = [example(f"mine {n}") for n in range(10)]
    pairs = [example(f"{n}?", parents=("p",), kind="preference") for n in range(10)]
    rows = [*made, *held, *own, *pairs]
    caps = Caps(instructions=12, preferences=0, validation=5, from_files=None, seed=3)
    found = reasons(rows, caps)
    stay = [row for row, reason in zip(rows, found, strict=True) if not reason]
    assert Counter(row.split for row in stay if row.parents) == {"train": 12, "validation": 5}
    assert sum(not row.parents for row in stay) == 10
    assert set(found) == {"", "cap"}
    removal = decide(rows, caps)[found.index("cap")]
    assert removal is not None
    assert (removal.value, removal.threshold) == (30, 12)
    other = reasons(
        rows, Caps(instructions=12, preferences=0, validation=5, from_files=None, seed=4)
    )
    assert other != found
    # A larger cap keeps what a smaller one kept.
    more = reasons(
        rows, Caps(instructions=20, preferences=0, validation=5, from_files=None, seed=3)
    )
    assert all(not b for a, b in zip(found, more, strict=True) if not a)


def test_examples_of_files_have_a_cap_of_their_own() -> None:
    made = [example(f"{n}?", parents=("p",)) for n in range(4)]
    own = [example(f"mine {n}", split=("train", "validation")[n % 2]) for n in range(40)]
    pairs = [example(f"pair {n}", kind="preference") for n in range(3)]
    caps = Caps(instructions=4, preferences=4, validation=4, from_files=8, seed=0)
    rows = [*made, *own, *pairs]
    found = reasons(rows, caps)
    stay = [row for row, reason in zip(rows, found, strict=True) if not reason]
    assert Counter((row.kind, bool(row.parents)) for row in stay) == {
        ("instruction", True): 4,
        ("instruction", False): 8,
        ("preference", False): 3,
    }
    assert {row.split for row in stay if not row.parents} == {"train", "validation"}


_ROWS = st.lists(
    st.builds(
        example,
        asked=st.sampled_from(["a", "b", "A ", "c"]),
        said=st.sampled_from(["x", "y"]),
        split=st.sampled_from(["train", "validation"]),
        source=st.sampled_from(["s", "t"]),
        parents=st.sampled_from([(), ("p",), ("q",)]),
        kind=st.sampled_from(["instruction", "preference"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(rows=_ROWS, order=st.randoms(use_true_random=False), cap=st.integers(0, 4))
def test_order_decides_nothing_and_no_validation_trains(
    rows: list[Example], order: object, cap: int
) -> None:
    caps = Caps(instructions=cap, preferences=cap, validation=cap, from_files=cap, seed=0)

    def staying(listed: list[Example]) -> list[tuple[str, str, tuple[str, ...]]]:
        found = decide(listed, caps)
        kept = [row for row, removal in zip(listed, found, strict=True) if removal is None]
        assert len({row.doc_id for row in kept}) == len(kept)
        held = {row.opening() for row in kept if row.split == "validation"}
        assert not any(row.opening() in held for row in kept if row.split == "train")
        return sorted((row.doc_id, row.split, row.parents) for row in kept)

    shuffled = list(rows)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert staying(rows) == staying(shuffled)


def test_every_candidate_becomes_one_row() -> None:
    dropped = Dropped("preference", "s", "", "f" * 32, True, "empty_text", None, None, "m:3: empty")
    short = Dropped("instruction", "s", "train", "e" * 32, False, "short", 3.0, 40.0, "u: f()")
    outcomes: list[Outcome] = [
        example("a"),
        dropped,
        example("b", kind="preference"),
        short,
        example("c"),
    ]
    cut = Removal("cap", 9.0, 1.0, "9 instructions")
    counts: Counter[CandidateResult] = Counter()
    tables: dict[str, list[dict]] = {name: [] for name in TABLES}
    for name, table in batches(outcomes, [None, None, cut], 2, counts):
        assert 0 < table.num_rows <= 2
        tables[name] += table.to_pylist()
    assert {name: len(rows) for name, rows in tables.items()} == {
        "instructions": 1,
        "preferences": 1,
        "thumbs": 0,
        "removed": 2,
        "rejected": 1,
    }
    assert tables["instructions"][0]["messages"] == [
        {"role": "user", "content": "a", "supervised": False},
        {"role": "assistant", "content": "So.", "supervised": True},
    ]
    assert tables["rejected"] == [
        {"doc_id": "f" * 32, "reason": "empty_text", "detail": "m:3: empty"}
    ]
    assert tables["removed"][1] == {
        "doc_id": outcomes[4].doc_id,
        "reason": "cap",
        "value": 9.0,
        "threshold": 1.0,
        "detail": "w: 9 instructions",
    }
    assert counts.total() == 5
    assert counts[CandidateResult("preference", "s", "", "rejected", "empty_text")] == 1


@pytest.mark.parametrize("removals", [[], [None, None]])
def test_removals_must_match_the_examples(removals: list[Removal | None]) -> None:
    with pytest.raises(ValueError, match="other candidates"):
        list(batches([example("a")], removals, 8, Counter()))


def test_ids_are_of_what_is_said_and_of_what_is_not_learned() -> None:
    turns = (Message("user", "Warum, ä?"), Message("assistant", "So."))
    assert content((turns,)) == '[[["user","Warum, ä?"],["assistant","So."]]]'.encode()
    unlearned = (turns[0], turns[1]._replace(supervised=False))
    assert content((unlearned,)) != content((turns,))
