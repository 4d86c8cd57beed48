"""Tasks made from text: what an item is, and that only a model that knows the text does well."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from llm.evaluation.tasks.held_out import HeldOutTasks
from llm.evaluation.tasks.items import Item
from llm.evaluation.tasks.subject import OwnModel
from llm.model.initialisation import initialise
from llm.model.scoring import Report
from llm.tokens.chat import ChatEncoder
from tests.llm.evaluation.tiny_models import model_folder, tiny_model

CONTEXT = 160
# Documentation that every Python has: prose of many modules.
MODULES = [
    "argparse",
    "collections",
    "configparser",
    "contextlib",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "doctest",
    "email",
    "enum",
    "fractions",
    "ftplib",
    "functools",
    "getopt",
    "gettext",
    "heapq",
    "html",
    "http",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "locale",
    "logging",
    "mailbox",
    "mimetypes",
    "multiprocessing",
    "operator",
    "optparse",
    "os",
    "pathlib",
    "pickle",
    "pickletools",
    "pprint",
    "random",
    "re",
    "sched",
    "selectors",
    "shelve",
    "shutil",
    "smtplib",
    "socket",
    "sqlite3",
    "statistics",
    "string",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "timeit",
    "trace",
    "tokenize",
    "turtle",
    "unittest",
    "urllib",
    "uuid",
    "wave",
    "weakref",
    "zipfile",
]


def documents() -> dict[str, str]:
    found = {}
    for name in MODULES:
        module = __import__(name)
        members = [each for each in vars(module).values() if callable(each)]
        own = [each for each in members if str(getattr(each, "__module__", "")).startswith(name)]
        docs = {inspect.getdoc(each) for each in (module, *own)}
        text = "\n\n".join(sorted(doc for doc in docs if doc))
        found[name] = text
    return found


def no_report(what: str) -> Report:
    return lambda done, total: None


@pytest.fixture(scope="module")
def made() -> HeldOutTasks:
    texts = documents()
    return HeldOutTasks(list(texts), list(texts.values()), 120, 0)


def items(made: HeldOutTasks, name: str) -> list[Item]:
    (found,) = (items for task, items in made.tasks if task.name == name)
    return found


def test_a_sentence_goes_on_with_its_document_and_the_others_do_not(made: HeldOutTasks) -> None:
    texts = {name: " ".join(text.split()) for name, text in documents().items()}
    found = items(made, "next_sentence")
    assert 110 < len(found) <= 120
    for item in found:
        own = texts[item.name.split(":")[0]]
        right = item.choices[item.expected]
        assert f"{item.prompt} {right}" in own
        assert len(set(item.choices)) == 4
        for place, choice in enumerate(item.choices):
            assert place == item.expected or choice != right
    lengths = np.array([[len(choice) for choice in item.choices] for item in found])
    # Neither place nor length tells which is right.
    assert max(Counter(item.expected for item in found).values()) < 50
    own = np.array([[len(item.choices[item.expected])] for item in found])
    ranks = (lengths < own).sum(axis=1) + ((lengths == own).sum(axis=1) - 1) / 2
    assert abs(ranks.mean() - 1.5) < 0.4  # 4 standard errors
    assert min((ranks < 1).mean(), (ranks > 2).mean()) > 0.12


def test_pairs_differ_in_the_order_of_two_words(made: HeldOutTasks) -> None:
    found = items(made, "word_order")
    assert len(found) > 100
    for item in found:
        good, bad = (choice.split(" ") for choice in item.choices)
        at = [place for place, word in enumerate(good) if bad[place] != word]
        assert at == [at[0], at[0] + 1]
        assert [bad[at[1]], bad[at[0]]] == [good[at[0]], good[at[1]]]
        assert good[at[0]].islower()


def test_the_same_documents_and_seed_give_the_same_items(made: HeldOutTasks) -> None:
    texts = documents()
    again = HeldOutTasks(list(texts), list(texts.values()), 120, 0)
    assert again.tasks == made.tasks
    other = HeldOutTasks(list(texts), list(texts.values()), 120, 1)
    assert other.tasks != made.tasks
    few = HeldOutTasks(list(texts), list(texts.values()), 10, 0)
    # Of as many documents as there are.
    names = {item.name.split(":")[0] for item in items(few, "word_order")}
    assert len(names) == len(items(few, "word_order")) > 7


def test_without_prose_there_is_nothing_to_ask(made: HeldOutTasks) -> None:
    nothing = HeldOutTasks(["a"], ["x = 1\ny = 2\n"], 10, 0)
    assert [found for _, found in nothing.tasks] == [[], []]


def test_a_random_model_draws(made: HeldOutTasks, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "base", tiny_model(CONTEXT))
    encoder = ChatEncoder(folder)
    shares: dict[str, list[float]] = {"next_sentence": [], "word_order": []}
    for seed in range(3):
        model = tiny_model(CONTEXT, seed)
        initialise(model, seed)
        subject = OwnModel(model, encoder)
        for each in made.ask(subject, 2048, no_report):
            shares[each.task].append(
                float(np.mean([answer.verdicts["acc"] for answer in each.outcome.answers]))
            )
    # Three draws of 120: the mean lies within 4 standard errors of chance.
    assert abs(np.mean(shares["next_sentence"]) - 0.25) < 4 * (0.25 * 0.75 / 360) ** 0.5
    assert abs(np.mean(shares["word_order"]) - 0.5) < 4 * (0.25 / 360) ** 0.5


def test_what_is_asked_can_be_learned(made: HeldOutTasks, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "base", tiny_model(CONTEXT))
    encoder = ChatEncoder(folder)
    few = items(made, "word_order")[:12]
    model = tiny_model(CONTEXT)
    initialise(model, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    end = encoder.stops[0]
    for step in range(300):
        text = few[step % len(few)].choices[0]
        tokens = torch.tensor([[end, *encoder.text(f" {text}")]])
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1])[0], tokens[0, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    subject = OwnModel(model.eval(), encoder)
    (pairs,) = (each for each in made.ask(subject, 2048, no_report) if each.task == "word_order")
    known = {item.name for item in few}
    own = [a.verdicts["acc"] for a in pairs.outcome.answers if a.item in known]
    assert np.mean(own) > 0.9
