"""The chat page's reader of server-sent events: pieces from the network end anywhere."""

from __future__ import annotations

import pytest

from tests.llm.serving.page.scripted_api import Answer, Script, words
from tests.llm.serving.page.steps import Open

READ = """async ([address, pieces]) => {
  const { readEvents } = await import(address);
  const stream = new ReadableStream({ start(controller) {
    for (const piece of pieces) controller.enqueue(new Uint8Array(piece));
    controller.close();
  } });
  const read = [];
  for await (const data of readEvents(stream)) read.push(data);
  return read;
}"""
CASES = {
    "letters of two, three and four bytes": ("data: é€𝄞🏳️‍🌈\n\n", ["é€𝄞🏳️‍🌈"]),
    "three kinds of line ends": ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]),
    "several lines": ("data: a\ndata:b\ndata\ndata:  c\n\n", ["a\nb\n\n c"]),
    "comments and other fields": (": ping\nevent: x\nid: 7\ndata: a\nretry: 9\n\n: end\n\n", ["a"]),
    "no end": ("data: whole\n\ndata: half", ["whole"]),
    "no empty line at the end": ("data: whole\n\ndata: line\n", ["whole"]),
    "a mark at the start": ("\ufeffdata: a\n\n", ["a"]),
    "nothing": ("", []),
}


@pytest.mark.parametrize("case", CASES)
def test_events_are_the_same_wherever_pieces_end(open_page: Open, case: str) -> None:
    text, expected = CASES[case]
    page = open_page(Script({"base": [Answer(words("Hi"))]}))
    data = text.encode()
    cuts = [[data]]
    cuts += [[data[:place], data[place:]] for place in range(len(data))]
    cuts += [[data[place : place + 1] for place in range(len(data))]]
    for pieces in cuts:
        listed = [list(piece) for piece in pieces]
        assert page.evaluate(READ, [f"{page.url}page/events.js", listed]) == expected
