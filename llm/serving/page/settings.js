// Sampling controls: what each does, between which bounds, and what was chosen last.

import { element } from "./elements.js";

const KEY = "ingot.settings";

/** What is sent with a request; `initial` null means that the field may stay empty. */
export const CONTROLS = [
  { name: "temperature", label: "Temperature", initial: 0.7, min: 0, max: 5, step: 0.05,
    meaning: "How much is left to chance. 0 always takes the most likely token; higher values even the odds." },
  { name: "top_p", label: "Top-p", initial: 0.95, min: 0, max: 1, step: 0.01,
    meaning: "Draws from the fewest tokens that together hold this probability. 1 allows all." },
  { name: "top_k", label: "Top-k", initial: 0, min: 0, max: 1000000, step: 1,
    meaning: "Draws from this many of the most likely tokens. 0 allows all." },
  { name: "min_p", label: "Min-p", initial: 0, min: 0, max: 1, step: 0.01,
    meaning: "Leaves out tokens less likely than this share of the most likely one. 0 allows all." },
  { name: "repetition_penalty", label: "Repetition penalty", initial: 1, min: 0.05, max: 5, step: 0.05,
    meaning: "Above 1, tokens that were there before become less likely. 1 changes nothing." },
  { name: "presence_penalty", label: "Presence penalty", initial: 0, min: -2, max: 2, step: 0.1,
    meaning: "Takes this off the score of each token the answer has used, however often." },
  { name: "frequency_penalty", label: "Frequency penalty", initial: 0, min: -2, max: 2, step: 0.1,
    meaning: "Takes this off the score of a token once for every time the answer has used it." },
  { name: "max_tokens", label: "Maximum tokens", initial: 256, min: 1, max: 1000000, step: 1,
    meaning: "An answer longer than this is cut." },
  { name: "seed", label: "Seed", initial: null, min: 0, max: 4294967295, step: 1,
    meaning: "The same number draws the same answer again. Empty: a new one each time." },
];

/** The controls in the page. */
export class Settings {
  #fields = new Map();

  /**
   * @param {HTMLElement} place they are put into it.
   * @param {HTMLTextAreaElement} system the system prompt.
   */
  constructor(place, system) {
    this.system = system;
    const kept = readKept();
    for (const control of CONTROLS) {
      const id = `control-${control.name}`;
      const field = element("input", {
        type: "number", id, min: control.min, max: control.max, step: control.step,
        inputMode: "decimal", "aria-describedby": `${id}-meaning ${id}-fault`,
        required: control.initial !== null, placeholder: control.initial === null ? "random" : "",
      });
      const value = control.name in kept ? kept[control.name] : control.initial;
      field.value = value ?? "";
      const fault = element("p", { class: "bad", id: `${id}-fault`, hidden: true });
      field.addEventListener("input", () => {
        this.#check(control);
        this.#keep();
      });
      this.#fields.set(control.name, { field, fault });
      place.append(
        element("div", { class: "field" },
          element("div", { class: "pair" }, element("label", { for: id }, control.label), field),
          fault,
          element("p", { class: "soft", id: `${id}-meaning` }, control.meaning)),
      );
    }
    system.value = typeof kept.system === "string" ? kept.system : "";
    system.addEventListener("input", () => this.#keep());
  }

  /** Everything as it was at first; the system prompt stays. */
  reset() {
    for (const control of CONTROLS) {
      this.#fields.get(control.name).field.value = control.initial ?? "";
      this.#check(control);
    }
    this.#keep();
  }

  /** The first field whose value cannot be sent, or null. */
  faulty() {
    const wrong = CONTROLS.filter((control) => !this.#check(control));
    return wrong.length ? this.#fields.get(wrong[0].name).field : null;
  }

  /** Fields of a request; without a seed chosen, one is drawn. */
  sampling() {
    const fields = {};
    for (const { name } of CONTROLS) {
      const { field } = this.#fields.get(name);
      if (field.value !== "") fields[name] = field.valueAsNumber;
    }
    fields.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
    return fields;
  }

  #check(control) {
    const { field, fault } = this.#fields.get(control.name);
    const valid = isValid(control, field);
    field.setAttribute("aria-invalid", String(!valid));
    fault.hidden = valid;
    const kind = control.step === 1 ? "whole number" : "number";
    fault.textContent = valid ? "" : `Give a ${kind} from ${control.min} to ${control.max}.`;
    return valid;
  }

  #keep() {
    const values = { system: this.system.value };
    for (const control of CONTROLS) {
      const { name } = control;
      const { field } = this.#fields.get(name);
      if (isValid(control, field)) values[name] = field.value === "" ? null : field.valueAsNumber;
    }
    try {
      localStorage.setItem(KEY, JSON.stringify(values));
    } catch {
      // They hold until the page is left.
    }
  }
}

function isValid(control, field) {
  const { badInput, rangeOverflow, rangeUnderflow, valueMissing, stepMismatch } = field.validity;
  // Between two steps of the arrows a number is as good.
  const mismatch = control.step === 1 && stepMismatch;
  return !(badInput || rangeOverflow || rangeUnderflow || valueMissing || mismatch);
}

function readKept() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return kept !== null && typeof kept === "object" ? kept : {};
  } catch {
    return {};
  }
}
