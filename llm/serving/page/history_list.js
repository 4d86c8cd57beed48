// The list of kept conversations: open one, take it along, delete it.

import { title } from "./conversation.js";
import { button, element } from "./elements.js";

/**
 * Show them; what had the focus has it afterwards.
 * @param {Array} conversations in the order of the list.
 * @param {string} current id of the one that is open; what is done to one is offered for it alone.
 * @param {{open: function, remove: function}} acts what is done with the one that is pressed.
 */
export function showHistory(conversations, current, acts) {
  document.getElementById("no-conversations").hidden = conversations.length > 0;
  document.getElementById("export-all").hidden = conversations.length === 0;
  const place = document.getElementById("conversations");
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(...conversations.map((kept) => line(kept, kept.id === current, acts)));
  if (focused === null) return;
  for (const shown of place.querySelectorAll("button")) {
    if (shown.dataset.key === focused) shown.focus();
  }
}

function line(kept, isCurrent, { open, remove }) {
  const name = title(kept);
  const when = new Date(kept.changed).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const entry = button("", () => open(kept), {
    class: "quiet entry", "aria-current": String(isCurrent), "data-key": `open ${kept.id}`,
  });
  entry.append(element("span", {}, name), element("small", { class: "soft" }, when));
  if (!isCurrent) return element("li", {}, entry);
  return element("li", {}, entry,
    element("div", { class: "buttons" },
      button("Export", () => exportAsJson([kept], `ingot-${kept.id}.json`), {
        "aria-label": `Export ${name}`, "data-key": `export ${kept.id}`,
      }),
      button("Delete", () => remove(kept), {
        "aria-label": `Delete ${name}`, "data-key": `delete ${kept.id}`,
      })));
}

/** Hand conversations to the person as a JSON file. */
export function exportAsJson(conversations, name) {
  const file = new Blob([JSON.stringify(conversations, null, 1)], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it later
}
