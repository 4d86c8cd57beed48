"""Reading YAML of the user's so that whatever is wrong with it is told in one line, and soon.

PyYAML alone lets the later of two equal keys win in silence, builds what a few aliases of
aliases stand for in full, and gives Python's own errors for deep nesting and for scalars that
look like a number or a date and are none.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from tasks.engine.errors import RecipeError

_OCTAL = re.compile(r"[-+]?0[0-7_]+")
MAX_CHARACTERS = 250_000
MAX_NODES = 50_000
DEEPEST = 40


class _Loader(yaml.SafeLoader):
    """Safe values alone, no key twice, and every error a YAML error with its place."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._fields: dict[int, str] = {}  # the key a scalar stands behind, by the node's id

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        self._refuse_repeated(node)
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                for scalar in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self._fields[id(scalar)] = key.value
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        self._refuse_old_numbers(node)
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, TypeError, KeyError, AttributeError) as error:
            # 2026-13-45 looks like a date, `0x_` like a number.
            value = node.value if isinstance(node, yaml.ScalarNode) else ""
            raise ConstructorError(
                None,
                None,
                f"{value[:40]!r} looks like {node.tag.rpartition(':')[2]}, but is not valid "
                f"({error}); put it in quotation marks",
                node.start_mark,
            ) from error

    def _refuse_old_numbers(self, node: yaml.Node) -> None:
        """YAML 1.1 reads 010 as 8 and 12:30 as 750, which hardly anyone means."""
        if not isinstance(node, yaml.ScalarNode) or node.style is not None:
            return
        kind, value = node.tag.rpartition(":")[2], node.value
        octal = kind == "int" and _OCTAL.fullmatch(value)
        if octal or (kind in ("int", "float") and ":" in value):
            field = self._fields.get(id(node))
            raise ConstructorError(
                None,
                None,
                f"{f'{field}: ' if field else ''}{value[:40]!r} would be a number to the base of "
                f"{8 if octal else 60}; write it to the base of 10, or, if it is a text, in "
                "quotation marks",
                node.start_mark,
            )

    def _refuse_repeated(self, node: yaml.MappingNode) -> None:
        """Merge keys (`<<`) are left out: what they bring is there to be overridden."""
        seen: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            first = seen.setdefault((key.tag, key.value), key.start_mark)
            if first is not key.start_mark:
                raise ConstructorError(
                    None,
                    None,
                    f"{key.value!r} is there twice, on line {first.line + 1} and on line "
                    f"{key.start_mark.line + 1}; remove one",
                    key.start_mark,
                )


def parse(text: str, where: str) -> Any:
    """The value of a YAML document.

    Args:
        where: the file or the option it comes from, for messages.

    Raises:
        RecipeError: it is no YAML, has a key twice, or is beyond the bounds of this module;
            one line, with the place.
    """
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(
            f"{where}: {len(text):,} characters; a recipe has {MAX_CHARACTERS:,} at most"
        )
    try:
        _check_size(text, where)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: {_format_error(error)}") from error


def _check_size(text: str, where: str) -> None:
    """Refuse what would be deep or large once built; aliases count as what they stand for.

    The events of PyYAML's parser are walked, whose depth is no recursion of Python's.
    """
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and nodes counted before it
    nodes, line = 0, 1
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else line
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_nodes}:
                raise RecipeError(
                    f"{where}: line {line}: *{event.anchor} refers to something that contains it"
                )
            nodes += sizes.get(event.anchor or "", 1)  # an unknown one is the composer's to refuse
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
            nodes += 1
            if len(open_nodes) > DEEPEST:
                raise RecipeError(
                    f"{where}: line {line}: nested more than {DEEPEST} deep; a recipe is a few "
                    "levels of mappings and lists"
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > MAX_NODES:
            raise RecipeError(
                f"{where}: line {line}: more than {MAX_NODES:,} values, those that aliases stand "
                "for counted; name files in `paths` instead of listing their content"
            )


def _format_error(error: yaml.YAMLError) -> str:
    """`line 3, column 5: what is wrong`, on one line whatever PyYAML says."""
    if isinstance(error, yaml.MarkedYAMLError):
        parts = [part for part in (error.context, error.problem, error.note) if part]
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        text = place + ", ".join(parts)
    else:
        text = str(error)
    return " ".join(text.split())
