"""The chat page's reader of server-sent events: pieces from the network end anywhere."""

from __future__ import annotations

from tests.llm.serving.page.scripted_api import Answer, Script, words
from tests.llm.serving.page.steps import Open

READ = """async ([address, texts]) => {
  const { readEvents } = await import(address);
  const read = async (pieces) => {
    const stream = new ReadableStream({ start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    } });
    const events = [];
    for await (const data of readEvents(stream)) events.push(data);
    return events;
  };
  return Promise.all(texts.map(async (text) => {
    const data = new TextEncoder().encode(text);
    const cuts = [[data], Array.from(data, (_, place) => data.slice(place, place + 1))];
    data.forEach((_, place) => cuts.push([data.slice(0, place), data.slice(place)]));
    return Promise.all(cuts.map(read));
  }));
}"""
CASES = {
    "letters of two, three and four bytes": ("data: é€𝄞🏳️‍🌈\n\n", ["é€𝄞🏳️‍🌈"]),
    "three kinds of line ends": ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]),
    "several lines between which a piece may end": ("data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
    "several lines": ("data: a\ndata:b\ndata\ndata:  c\n\n", ["a\nb\n\n c"]),
    "comments and other fields": (": ping\nevent: x\nid: 7\ndata: a\nretry: 9\n\n: end\n\n", ["a"]),
    "no end": ("data: whole\n\ndata: half", ["whole"]),
    "no empty line at the end": ("data: whole\n\ndata: line\n", ["whole"]),
    "a mark at the start": ("\ufeffdata: a\n\n", ["a"]),
    "nothing": ("", []),
}


def test_events_are_the_same_wherever_pieces_end(open_page: Open) -> None:
    page = open_page(Script({"base": [Answer(words("Hi"))]}))
    texts = [text for text, _ in CASES.values()]
    found = page.evaluate(READ, [f"{page.url}page/events.js", texts])
    for case, every_cut in zip(CASES, found, strict=True):
        text, expected = CASES[case]
        assert len(every_cut) == len(text.encode()) + 2
        assert all(events == expected for events in every_cut), case
