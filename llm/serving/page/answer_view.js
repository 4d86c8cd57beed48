// One answer in the page: its text or its tokens, how it ended, how fast it was.

import { rate } from "./answering.js";
import { button, element } from "./elements.js";
import { attributes } from "./api.js";
import { sourcesView } from "./sources.js";
import { tokensView } from "./tokens.js";

/** A card that follows its answer. */
export class AnswerView {
  #timer = null;
  #retryAt = null;

  /**
   * @param {Object} answer as of `newAnswer`.
   * @param {?function(): void} retry asks again; null where that is no longer possible.
   */
  constructor(answer, retry) {
    this.answer = answer;
    this.retry = retry;
    this.text = document.createTextNode("");
    this.body = element("div", { class: "text" }, this.text);
    this.figures = element("p", { class: "figures soft" });
    this.fault = element("div", { class: "fault", hidden: true });
    this.copy = copyButton(() => answer.text, `Copy the answer of ${answer.model}`);
    this.tokens = button("Tokens", () => this.#toggle(this.tokens), {
      "aria-pressed": "false", "aria-label": `Tokens of the answer of ${answer.model}`,
    });
    this.sources = button("Sources", () => this.#toggle(this.sources), {
      "aria-pressed": "false", "aria-label": `Sources of the answer of ${answer.model}`, hidden: true,
    });
    this.element = element("article", { class: "answer", "aria-label": `Answer of ${answer.model}` },
      element("div", { class: "answer-head" },
        element("h3", {}, answer.model), element("div", { class: "buttons" }, this.sources, this.tokens, this.copy)),
      this.body, this.fault, this.figures);
    this.update();
  }

  /** Show what is known of the answer now. */
  update() {
    const { answer } = this;
    const running = answer.status === "running";
    if (this.text.data !== answer.text) this.text.data = answer.text;
    this.body.classList.toggle("running", running);
    this.body.classList.toggle("empty", !running && !answer.text && answer.status === "finished");
    this.element.setAttribute("aria-busy", String(running));
    this.copy.hidden = !answer.text;
    this.tokens.hidden = running || !answer.scored.length;
    if (!running && answer.text) this.#offerSources();
    // A figure and its unit stay on one line.
    this.figures.textContent = figures(answer)
      .map((part) => part.replaceAll(" ", "\u00a0"))
      .join(" · ");
    this.#showFault();
  }

  /** The answer is no longer the last: it cannot be asked for again. */
  settle() {
    this.retry = null;
    this.#showFault();
  }

  async #offerSources() {
    this.sources.hidden = !(await attributes());
  }

  // The text, its tokens or its sources: one of the three.
  #toggle(chosen) {
    const shown = chosen.getAttribute("aria-pressed") !== "true";
    for (const one of [this.tokens, this.sources]) {
      one.setAttribute("aria-pressed", String(shown && one === chosen));
    }
    const view = chosen === this.tokens ? tokensView : sourcesView;
    this.body.replaceChildren(shown ? view(this.answer, this.answer.model) : this.text);
    this.body.classList.toggle("as-tokens", shown);
  }

  #showFault() {
    clearTimeout(this.#timer);
    const { error, status } = this.answer;
    this.fault.hidden = status !== "failed";
    if (this.fault.hidden) return;
    const parts = [element("p", { class: "bad" }, error.message)];
    if (this.retry) parts.push(this.#retryButton(error));
    this.fault.replaceChildren(...parts);
  }

  // Where the server said how long to wait, the button counts down first.
  #retryButton(error) {
    this.#retryAt ??= Date.now() + (error.retryAfter ?? 0) * 1000;
    const again = button("Try again", () => this.retry());
    const count = () => {
      const left = Math.ceil((this.#retryAt - Date.now()) / 1000);
      again.disabled = left > 0;
      again.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
      if (left > 0) this.#timer = setTimeout(count, 250);
    };
    count();
    return again;
  }
}

function figures(answer) {
  const parts = [];
  if (answer.status === "stopped") parts.push("Stopped");
  if (answer.dropped === 1) parts.push("Oldest turn left out: context full");
  if (answer.dropped > 1) parts.push(`${answer.dropped} oldest turns left out: context full`);
  if (answer.finish === "length") parts.push(whyCut(answer));
  if (answer.firstSeconds !== null) parts.push(`${seconds(answer.firstSeconds)} to the first token`);
  const speed = rate(answer);
  if (speed !== null) parts.push(`${speed >= 10 ? Math.round(speed) : speed.toFixed(1)} tokens/s`);
  if (answer.tokens !== null) parts.push(answer.tokens === 1 ? "1 token" : `${answer.tokens} tokens`);
  return parts;
}

function whyCut({ tokens, sampling }) {
  const short = tokens !== null && sampling?.max_tokens > tokens;
  return short ? "Cut by the server: context full, or its limit" : "Cut at the maximum of tokens";
}

function seconds(value) {
  return value < 0.9995 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

/** A button that copies a text and says whether it did. */
export function copyButton(text, label) {
  const made = button("Copy", async () => {
    const copied = await copy(text());
    made.textContent = copied ? "Copied" : "Not allowed";
    setTimeout(() => { made.textContent = "Copy"; }, 1500);
  }, { "aria-label": label });
  return made;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard without a secure context: the older way needs a selection.
    const focused = document.activeElement;
    const field = element("textarea", { value: text, readOnly: true, class: "unseen" });
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    focused.focus();
    return copied;
  }
}
