// Which models answer: one to three of those the server has.

import { element } from "./elements.js";

const KEY = "ingot.models";
const MOST = 3;

/** The choice in the page. */
export class ModelChoice {
  #boxes = [];
  #contexts = new Map();

  /**
   * @param {HTMLFieldSetElement} place
   * @param {function(): void} changed called when another set is chosen.
   */
  constructor(place, changed) {
    this.place = place;
    this.changed = changed;
  }

  /** Offer these, as of `listModels`; those chosen last are chosen again, else the last of them. */
  offer(models) {
    this.#contexts = new Map(models.map(({ name, context }) => [name, context]));
    const names = models.map(({ name }) => name);
    const kept = readKept().filter((name) => names.includes(name));
    const first = kept.length ? kept : names.slice(-1);
    for (const label of this.place.querySelectorAll("label")) label.remove();
    this.#boxes = names.map((name) => {
      const box = element("input", { type: "checkbox", value: name, checked: first.includes(name) });
      box.addEventListener("change", () => {
        this.#limit();
        this.#keep();
        this.changed();
      });
      this.place.append(element("label", {}, box, element("span", {}, name)));
      return box;
    });
    this.#limit();
    this.changed();
  }

  /** Choose these, as far as the server has them; where it has none, nothing changes. */
  choose(names) {
    if (!this.#boxes.some((box) => names.includes(box.value))) return;
    for (const box of this.#boxes) box.checked = names.includes(box.value);
    this.#limit();
    this.changed();
  }

  /** Tokens a model's context holds; null where that is not known. */
  context(name) {
    return this.#contexts.get(name) ?? null;
  }

  /** Names of those chosen. */
  chosen() {
    return this.#boxes.filter((box) => box.checked).map((box) => box.value);
  }

  #limit() {
    const full = this.chosen().length >= MOST;
    for (const box of this.#boxes) {
      box.disabled = full && !box.checked;
      box.parentElement.title = box.disabled ? "Three at most" : box.value;
    }
  }

  #keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.chosen()));
    } catch {
      // It holds until the page is left.
    }
  }
}

function readKept() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(kept) ? kept.slice(0, MOST) : [];
  } catch {
    return [];
  }
}
