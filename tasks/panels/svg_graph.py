"""A directed graph without cycles as boxes and arrows, from the top down.

Layers by longest path, order within a layer by the mean place of the neighbours (Sugiyama,
Tagawa, Toda 1981); an edge over several layers has a place of its own in each, so that it goes
around boxes. An edge that would close a circle is drawn as it is, against the direction. Ours,
because Graphviz is a program to be installed beside Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tasks.panels.escaping import escape_xml

_BOX_HEIGHT, _GAP_DOWN, _GAP_ACROSS = 42, 46, 24
_CHARACTER, _MARGIN, _THROUGH, _MIN = 6.8, 12, 72, 90
_SWEEPS = 6

Place = tuple[str, int] | str  # a node, or where edge number so-and-so crosses a layer


def layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Node -> layer, each below all that point to it; edges that close a circle are passed over."""
    below: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        if source != target:
            below[source].append(target)
    state: dict[str, bool] = {}  # False while the node is on the path walked, True when done
    order: list[str] = []
    forward: list[tuple[str, str]] = []
    for root in nodes:
        if root in state:
            continue
        state[root] = False
        path = [(root, iter(below[root]))]
        while path:
            node, rest = path[-1]
            child = next(rest, None)
            if child is None:
                state[node] = True
                order.append(node)
                path.pop()
            elif state.get(child) is not False:
                forward.append((node, child))
                if child not in state:
                    state[child] = False
                    path.append((child, iter(below[child])))
    depth = dict.fromkeys(nodes, 0)
    following: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in forward:
        following[source].append(target)
    for node in reversed(order):
        for target in following[node]:
            depth[target] = max(depth[target], depth[node] + 1)
    return depth


def graph(title: str, nodes: Mapping[str, str], edges: Sequence[tuple[str, str, str]]) -> str:
    """The drawing; lines of a label are lines of its box. Empty without nodes."""
    names = list(dict.fromkeys([*nodes, *(end for edge in edges for end in edge[:2])]))
    if not names:
        return ""
    pairs = list(dict.fromkeys((source, target) for source, target, _ in edges))
    labels = {name: nodes.get(name, name).split("\n") for name in names}
    widths = {
        name: max(_MIN, max(map(len, lines)) * _CHARACTER + 2 * _MARGIN)
        for name, lines in labels.items()
    }
    depth = layers(names, pairs)
    rows, ways = _rows(names, pairs, depth)
    _order(rows, ways)
    centre, width = _centres(rows, ways, widths)
    taken = [_edge(pair, ways[index], centre, depth) for index, pair in enumerate(pairs)]
    words = []
    for index, pair in enumerate(pairs):
        named = ", ".join(text for source, target, text in edges if (source, target) == pair)
        words.append(_word(named, pair, ways[index], centre, depth) if named else "")
    boxes = [_box(labels[name], centre[name], _top(depth[name]), widths[name]) for name in names]
    height = _top(max(depth.values())) + _BOX_HEIGHT + 8
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="{escape_xml(title)}" font-size="12" fill="currentColor">'
        f"{''.join(taken)}{''.join(words)}{''.join(boxes)}</svg>"
    )


def _top(layer: int) -> int:
    return 8 + layer * (_BOX_HEIGHT + _GAP_DOWN)


def _rows(
    names: Sequence[str], pairs: Sequence[tuple[str, str]], depth: Mapping[str, int]
) -> tuple[list[list[Place]], list[list[Place]]]:
    """Places by layer, and for every edge the places it goes through, ends included."""
    rows: list[list[Place]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in names:
        rows[depth[name]].append(name)
    ways: list[list[Place]] = []
    for index, (source, target) in enumerate(pairs):
        way: list[Place] = [source]
        for layer in range(depth[source] + 1, depth[target]):
            # The same edge has another place in each layer: the number tells them apart.
            place = (f"{index}", layer)
            rows[layer].append(place)
            way.append(place)
        ways.append([*way, target])
    return rows, ways


def _order(rows: list[list[Place]], ways: Sequence[Sequence[Place]]) -> None:
    """Sort every layer by the mean position of what its places are joined to, up and down."""
    up: dict[Place, list[Place]] = {}
    down: dict[Place, list[Place]] = {}
    for way in ways:
        for before, after in pairwise(way):
            up.setdefault(after, []).append(before)
            down.setdefault(before, []).append(after)
    at = {place: float(index) for row in rows for index, place in enumerate(row)}
    for sweep in range(_SWEEPS):
        joined = down if sweep % 2 else up
        for row in reversed(rows) if sweep % 2 else rows:
            mean = {
                place: sum(at[n] for n in joined[place]) / len(joined[place])
                if joined.get(place)
                else at[place]
                for place in row
            }
            row.sort(key=lambda place: mean[place])
            at.update({place: float(index) for index, place in enumerate(row)})


def _centres(
    rows: Sequence[Sequence[Place]], ways: Sequence[Sequence[Place]], widths: Mapping[str, float]
) -> tuple[dict[Place, float], float]:
    """Where the middle of every place lies, and how wide the drawing is."""
    joined: dict[Place, list[Place]] = {}
    for way in ways:
        for before, after in pairwise(way):
            joined.setdefault(after, []).append(before)
    wide = {p: widths[p] if isinstance(p, str) else float(_THROUGH) for row in rows for p in row}
    centre: dict[Place, float] = {}
    for row in rows:
        left, leaning = float("-inf"), []
        for place in row:
            # Of a circle's edge the upper end may not be placed yet, or be the place itself.
            above = [centre[name] for name in joined.get(place, []) if name in centre]
            wished = sum(above) / len(above) if above else max(left + wide[place] / 2, 0.0)
            centre[place] = max(wished, left + wide[place] / 2)
            left = centre[place] + wide[place] / 2 + _GAP_ACROSS
            if above:
                leaning.append(centre[place] - wished)
        # Pushed to the right only, a row leans: move it back by what it leans on the mean.
        lean = sum(leaning) / len(leaning) if leaning else 0.0
        for place in row:
            centre[place] -= lean
    left = min(centre[p] - wide[p] / 2 for p in centre) - 8
    right = max(centre[p] + wide[p] / 2 for p in centre) + 8
    return {place: x - left for place, x in centre.items()}, right - left


def _edge(
    pair: tuple[str, str],
    way: Sequence[Place],
    centre: Mapping[Place, float],
    depth: Mapping[str, int],
) -> str:
    x, y = centre[way[0]], float(_top(depth[pair[0]]) + _BOX_HEIGHT)
    path = [f"M{x:.1f} {y:.1f}"]
    for step, place in enumerate(way[1:], 1):
        layer = depth[pair[0]] + step if place != pair[1] else depth[pair[1]]
        next_x, next_y = centre[place], float(_top(layer))
        bend = (y + next_y) / 2
        path.append(f"C{x:.1f} {bend:.1f} {next_x:.1f} {bend:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
        if place != pair[1]:
            y += _BOX_HEIGHT
            path.append(f"V{y:.1f}")
    return (
        f'<path d="{"".join(path)}" fill="none" stroke="currentColor" stroke-opacity="0.5" '
        f'stroke-width="1.3"/><path d="M{x - 4:.1f} {y - 7:.1f}h8L{x:.1f} {y:.1f}z"/>'
    )


def _word(
    text: str,
    pair: tuple[str, str],
    way: Sequence[Place],
    centre: Mapping[Place, float],
    depth: Mapping[str, int],
) -> str:
    """A label in the last gap of its edge, where edges to one box have parted."""
    x = (centre[way[-2]] + 3 * centre[way[-1]]) / 4 if len(way) == 2 else centre[way[-2]]
    y = _top(depth[pair[1]]) - (_GAP_DOWN / 2 - 4 if len(way) == 2 else _GAP_DOWN + 8)
    return (
        f'<text class="edge" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape_xml(text)}</text>'
    )


def _box(lines: Sequence[str], x: float, y: int, width: float) -> str:
    drawn = [
        f'<rect class="box" x="{x - width / 2:.1f}" y="{y}" width="{width:.1f}" '
        f'height="{_BOX_HEIGHT}" rx="6" fill="none" stroke="currentColor" stroke-opacity="0.5"/>'
    ]
    first = y + _BOX_HEIGHT / 2 + 4 - (len(lines) - 1) * 8
    for index, line in enumerate(lines):
        weight = ' font-weight="600"' if index == 0 else ' fill-opacity="0.7" font-size="11"'
        drawn.append(
            f'<text x="{x:.1f}" y="{first + index * 16:.1f}" text-anchor="middle"{weight}>'
            f"{escape_xml(line)}</text>"
        )
    return "".join(drawn)
