"""Where the users of a library find a definition: its public name.

Libraries define much of what they document in private modules and re-export it:
`numpy.linalg.norm` lies in `numpy/linalg/_linalg.py`. From-imports and `__all__`
say so, and are followed here without running anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm.pydocs.source import Definition, Module, is_public

_DEEPEST = 12  # from-imports in a row; real chains have two or three


def public_definitions(modules: Mapping[str, Module]) -> dict[str, list[tuple[str, Definition]]]:
    """Public module -> (name there, definition) of everything documented under it, in order.

    A definition belongs to the public module that holds its code; one in a private module to
    the shortest (then first) public module that exports it; one nobody exports is left out.
    """
    homes: dict[tuple[str, str], tuple[str, str]] = {}
    listed: dict[str, list[tuple[str, Definition]]] = {}
    for name in sorted(modules):
        if is_public(name):
            own = modules[name].definitions
            listed[name] = [(n, d) for n, d in own.items() if is_public(n) and d.documented()]
    for name in sorted(listed, key=lambda name: (name.count("."), name)):
        for alias in sorted(_visible(modules, name, 0)):
            found = _resolve(modules, name, alias, 0)
            if found is None or is_public(found[0]):
                continue
            homes.setdefault(found, (name, alias))
    for (origin, defined), (home, alias) in sorted(homes.items()):
        definition = modules[origin].definitions[defined]
        if definition.documented():
            listed[home].append((alias, definition))
    return listed


def _visible(modules: Mapping[str, Module], name: str, depth: int) -> set[str]:
    """Public names a module hands on, its own included."""
    module = modules.get(name)
    if module is None or depth > _DEEPEST:
        return set()
    names = set(module.definitions) | set(module.imported)
    if module.exports:
        names |= set(module.exports)
    for star in module.stars:
        other = modules.get(star)
        if other is not None:
            seen = _visible(modules, star, depth + 1)
            names |= seen if other.exports is None else seen & set(other.exports)
    return {n for n in names if is_public(n)}


def _resolve(
    modules: Mapping[str, Module], name: str, alias: str, depth: int
) -> tuple[str, str] | None:
    """(module, name) where what a module calls `alias` is defined, within the distribution."""
    module = modules.get(name)
    if module is None or depth > _DEEPEST:
        return None
    if alias in module.definitions:
        return name, alias
    if alias in module.imported:
        origin, original = module.imported[alias]
        return _resolve(modules, origin, original, depth + 1)
    for star in module.stars:
        other = modules.get(star)
        if other is not None and (other.exports is None or alias in other.exports):
            found = _resolve(modules, star, alias, depth + 1)
            if found is not None:
                return found
    return None
