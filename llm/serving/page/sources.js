// Where an answer stands in training texts: spans underlined, and of one of them the documents.

import { attribute, passport } from "./api.js";
import { button, element } from "./elements.js";

/** The view, filled once the server has looked. */
export function sourcesView(answer) {
  const view = element("div", { class: "sources-view" }, element("p", { class: "soft" }, "Looking…"));
  attribute(answer.text)
    .then((found) => view.replaceChildren(...shown(answer, found)))
    .catch((error) => view.replaceChildren(
      element("div", { class: "text" }, answer.text), element("p", { class: "bad" }, error.message)));
  return view;
}

function shown(answer, found) {
  // The server counts characters, and a character may be two units of a string here.
  const characters = Array.from(answer.text);
  const spans = [
    ...found.spans.map((span) => ({ ...span, trained: true })),
    ...found.left_out.map((span) => ({ ...span, trained: false })),
  ];
  const list = element("div", {
    class: "spans", role: "listbox", "aria-label": `Spans of ${answer.model} found elsewhere`,
  });
  const detail = element("section", { class: "detail", "aria-label": "The span looked at", hidden: true });
  const pieces = cut(characters, spans);
  list.append(...pieces.map((piece) => piece.node));

  function look(span) {
    for (const piece of pieces) {
      if (piece.spans.length) {
        piece.node.setAttribute("aria-selected", String(piece.spans.includes(span)));
      }
    }
    detail.hidden = false;
    detail.replaceChildren(...spanDetail(span));
  }
  for (const { node, spans: over } of pieces) {
    if (!over.length) continue;
    // Of spans that overlap, each further click looks at the next.
    let next = 0;
    const act = () => look(over[next++ % over.length]);
    node.addEventListener("click", act);
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    });
  }
  return [element("p", { class: "soft" }, summary(found)), list, ...notShown(found), detail];
}

// The text cut wherever a span begins or ends.
function cut(characters, spans) {
  const edges = new Set([0, characters.length]);
  for (const { start, end } of spans) edges.add(start).add(end);
  const bounds = [...edges].sort((one, other) => one - other);
  return bounds.slice(0, -1).map((start, place) => {
    const end = bounds[place + 1];
    const over = spans
      .filter((span) => span.start <= start && end <= span.end)
      .sort((one, other) => other.tokens - one.tokens);
    const text = characters.slice(start, end).join("");
    if (!over.length) return { node: document.createTextNode(text), spans: over };
    const kind = over.some((span) => span.trained) ? "trained" : "left-out";
    const node = element("span",
      { class: `span ${kind}`, role: "option", tabIndex: 0, "aria-selected": "false" }, text);
    return { node, spans: over };
  });
}

function summary(found) {
  const searched = Object.values(found.searched).reduce((sum, bytes) => sum + bytes, 0);
  const size = `${(searched / 1e6).toFixed(1)} MB were searched.`;
  if (found.spans.length) {
    const share = Math.round(found.covered * 100);
    return `${share} % of this stands word for word in what was trained on. ${size}`;
  }
  if (found.left_out.length) {
    return `Not found in what was trained on; parts stand in pages that were seen and left out. ${size}`;
  }
  return `Not found: no part of this stands word for word in what was trained on. ${size}`;
}

function notShown(found) {
  return found.suppressed.map((row) => {
    const spans = row.spans === 1 ? "1 span" : `${row.spans} spans`;
    return element("p", { class: "soft" }, `Not shown: ${spans}, ${row.rule}.`);
  });
}

function spanDetail(span) {
  const places = span.count === 1 ? "1 place" : `${span.count} places`;
  const rare = (span.bytes_per_place / 1e6).toFixed(2);
  return [
    element("h4", {}, `${span.tokens} tokens, ${places}`,
      element("span", { class: "soft" }, `  one in ${rare} MB`)),
    ...span.sources.map((source) => sourceView(source)),
  ];
}

function sourceView({ row, before, found, after }) {
  const known = [row.source, row.licence, row.role].filter(Boolean).join(" · ");
  const rows = element("div", { class: "passport", hidden: true });
  const open = button("Passport", () => showPassport(row.doc_id, rows, open), {
    "aria-expanded": "false", "aria-label": `Passport of ${row.title ?? row.doc_id}`,
  });
  const parts = [
    element("p", {}, element("strong", {}, row.title ?? row.doc_id), " ", address(row.url)),
    element("p", { class: "soft" }, known),
  ];
  if (row.stage) {
    const why = [row.reason, row.detail].filter(Boolean).join(": ");
    parts.push(element("p", { class: "bad" }, `Seen, but left out by ${row.stage}: ${why}`));
  }
  return element("article", { class: "source", "aria-label": row.title ?? row.doc_id },
    ...parts,
    element("blockquote", {}, `…${before}`, element("mark", {}, found), `${after}…`),
    element("div", { class: "buttons" }, element("code", {}, row.doc_id), open),
    rows);
}

// A link where a browser can follow it; never to a scheme that runs something.
function address(url) {
  if (!url) return "";
  if (!/^https?:\/\//i.test(url)) return element("span", { class: "soft" }, url);
  return element("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, url);
}

async function showPassport(docId, rows, open) {
  const shownNow = open.getAttribute("aria-expanded") === "true";
  open.setAttribute("aria-expanded", String(!shownNow));
  rows.hidden = shownNow;
  if (shownNow || rows.childElementCount) return;
  try {
    rows.replaceChildren(...(await passport(docId)).map(passportRow));
  } catch (error) {
    rows.replaceChildren(element("p", { class: "bad" }, error.message));
  }
}

function passportRow({ stage, output, row }) {
  const facts = Object.entries(row)
    .filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
    .map(([name, value]) => `${name}=${value}`);
  return element("p", {}, element("strong", {}, `${stage}.${output}`), ` ${facts.join(", ")}`);
}
