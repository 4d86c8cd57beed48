"""What flows through steps, and where it leaves them, as a Sankey diagram from left to right.

Boxes are as high as what goes through them and stand in layers by longest path; links keep their
thickness along the way. Ours, because the libraries that draw one need a browser's script (plotly,
d3) or know no currents that leave on the way (matplotlib).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.panels.escaping import escape_xml
from tasks.panels.numbers import number
from tasks.panels.panels import Stream
from tasks.panels.svg import COLOURS
from tasks.panels.svg_graph import layers

_HEIGHT, _BOX, _PITCH = 240.0, 12, 150
_ROOM = _PITCH - _BOX - 10  # of a label
_GAP, _LINE, _MARGIN, _TOP = 14.0, 15, 8, 40
_CHARACTER, _SMALL = 6.4, 5.8  # wide: of a name, of what is said below it
_THINNEST = 1.0
# Pages show it as wide as they are: the letters of a drawing of two layers would be headlines.
_NARROWEST = 5 * _PITCH


@dataclass
class _Box:
    """A node: its layer, its height and place, how much of either side is taken by links."""

    layer: int
    into: float = 0.0
    out: float = 0.0
    words: str = ""
    y: float = 0.0
    parent: _Box | None = None  # what comes into it first
    left_taken: float = 0.0
    right_taken: float = 0.0

    @property
    def amount(self) -> float:
        return max(self.into, self.out)


def flow(title: str, streams: Sequence[Stream]) -> str:
    """The drawing; a box shows the words of what comes into it. Empty if nothing flows."""
    streams = [stream for stream in streams if stream.count > 0]
    if not streams:
        return ""
    boxes = _boxes(streams)
    found = sorted({box.layer for box in boxes.values()})
    scale = _HEIGHT / max(
        sum(box.amount for box in boxes.values() if box.layer == layer) for layer in found
    )
    bottom = max(_placed(boxes, layer, scale) for layer in found)
    kinds = list(dict.fromkeys(stream.kind for stream in streams))
    legend, legend_end = _legend(kinds)
    drawn = [legend]
    drawn += [_link(stream, boxes, scale, _colour(kinds, stream.kind)) for stream in streams]
    drawn += [_labelled(name, box, scale) for name, box in boxes.items()]
    width = max(_left(found[-1] + 1), legend_end, _NARROWEST)
    return (
        f'<svg class="flow" viewBox="0 0 {width:.0f} {bottom + _MARGIN:.0f}" role="img" '
        f'aria-label="{escape_xml(title)}" font-size="12" fill="currentColor">'
        f"{''.join(drawn)}</svg>"
    )


def _boxes(streams: Sequence[Stream]) -> dict[str, _Box]:
    names = list(dict.fromkeys(end for each in streams for end in (each.source, each.target)))
    depth = layers(names, [(each.source, each.target) for each in streams])
    boxes = {name: _Box(depth[name]) for name in names}
    for each in streams:
        boxes[each.source].out += each.count
        boxes[each.target].into += each.count
        boxes[each.target].words = each.words
        boxes[each.target].parent = boxes[each.target].parent or boxes[each.source]
    return boxes


def _placed(boxes: dict[str, _Box], layer: int, scale: float) -> float:
    """Place the boxes of a layer below one another, where they end; first what flows on, then what
    comes from higher up, so that few links cross. The layers before are placed."""
    y = float(_TOP)
    own = {name: box for name, box in boxes.items() if box.layer == layer}
    for box in sorted(
        own.values(), key=lambda box: (not box.out, box.parent.y if box.parent else 0)
    ):
        box.y = y
        y += max(_high(box.amount, scale), _LINE * len(_lines("", box))) + _GAP
    return y


def _high(amount: float, scale: float) -> float:
    # A pixel at least: a rule that removed one of a million removed something.
    return max(amount * scale, _THINNEST)


def _link(stream: Stream, boxes: dict[str, _Box], scale: float, colour: str) -> str:
    source, target = boxes[stream.source], boxes[stream.target]
    thick = _high(stream.count, scale)
    x, end = _left(source.layer) + _BOX, _left(target.layer)
    y, there = (
        source.y + source.right_taken + thick / 2,
        target.y + target.left_taken + thick / 2,
    )
    source.right_taken += thick
    target.left_taken += thick
    middle = (x + end) / 2
    hint = f"{stream.source} to {stream.target}: {number(stream.count)} {stream.kind}"
    return (
        f'<path d="M{x:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {there:.1f} {end:.1f} '
        f'{there:.1f}" fill="none" stroke="{colour}" stroke-opacity="0.45" '
        f'stroke-width="{thick:.1f}"><title>{escape_xml(hint)}</title></path>'
    )


def _labelled(name: str, box: _Box, scale: float) -> str:
    x, high = _left(box.layer), _high(box.amount, scale)
    drawn = [
        f'<rect x="{x}" y="{box.y:.1f}" width="{_BOX}" height="{high:.1f}" fill="currentColor" '
        'fill-opacity="0.75"/>'
    ]
    for place, line in enumerate(_lines(name, box)):
        look = ' font-weight="600"' if place == 0 else ' font-size="11" fill-opacity="0.75"'
        drawn.append(
            f'<text class="edge" x="{x + _BOX + 5}" y="{box.y + 11 + place * _LINE:.1f}"{look}>'
            f"{escape_xml(line)}</text>"
        )
    return "".join(drawn)


def _lines(name: str, box: _Box) -> list[str]:
    """Of a label: what the box is, how much goes through it, and what is said of that."""
    shown = int(_ROOM / _CHARACTER)
    # What it comes from says the stage.
    short = name if len(name) <= shown else name.rpartition(": ")[2] or name
    said = [number(box.amount), *box.words.splitlines()]
    return [_cut(short, shown), *(_cut(line, int(_ROOM / _SMALL)) for line in said)]


def _cut(text: str, shown: int) -> str:
    return text if len(text) <= shown else f"{text[: shown - 1]}…"


def _left(layer: int) -> int:
    return _MARGIN + layer * _PITCH


def _colour(kinds: Sequence[str], kind: str) -> str:
    return COLOURS[kinds.index(kind) % len(COLOURS)]


def _legend(kinds: Sequence[str]) -> tuple[str, float]:
    """The drawing, and where it ends."""
    drawn, x = [], float(_MARGIN)
    for kind in kinds if len(kinds) > 1 else ():
        drawn.append(
            f'<rect x="{x:.1f}" y="8" width="12" height="8" rx="2" fill="{_colour(kinds, kind)}"/>'
            f'<text x="{x + 18:.1f}" y="16">{escape_xml(kind)}</text>'
        )
        x += len(kind) * _CHARACTER + 44
    return "".join(drawn), x
