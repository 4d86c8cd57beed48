// A turn in the page: what was asked, and the answers side by side.

import { AnswerView, copyButton } from "./answer_view.js";
import { button, element } from "./elements.js";

/** The message of a person, which can be changed and sent again, and its answers. */
export class TurnView {
  /**
   * @param {Object} turn
   * @param {function(string): void} resend sends the turn anew with another text.
   * @param {function(Object): void} retry asks for one answer again.
   */
  constructor(turn, resend, retry) {
    this.turn = turn;
    this.resend = resend;
    this.retry = retry;
    this.edit = button("Edit", () => this.#startEdit(), { "aria-label": "Edit and send again" });
    this.message = element("div", { class: "message" });
    this.grid = element("div", { class: "answers" });
    this.element = element("div", { class: "turn" }, this.message, this.grid);
    this.#showMessage();
    this.showAnswers();
  }

  /** Put the answers there, after one was added or begun anew. */
  showAnswers() {
    this.answers = this.turn.answers.map(
      (answer) => new AnswerView(answer, () => this.retry(answer)));
    this.grid.replaceChildren(...this.answers.map((view) => view.element));
    this.grid.dataset.count = String(this.answers.length);
  }

  /** While answers come in, nothing is edited. */
  setBusy(busy) {
    this.edit.disabled = busy;
  }

  /** Another turn follows. */
  settle() {
    for (const view of this.answers) view.settle();
  }

  #showMessage() {
    this.message.replaceChildren(
      element("h3", { class: "unseen" }, "You"),
      element("div", { class: "text" }, this.turn.prompt),
      element("div", { class: "buttons" },
        this.edit, copyButton(() => this.turn.prompt, "Copy your message")));
  }

  #startEdit() {
    const field = element("textarea", { value: this.turn.prompt, "aria-label": "Your message" });
    const send = () => {
      if (field.value.trim()) this.resend(field.value);
    };
    const cancel = () => {
      this.#showMessage();
      this.edit.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (sends(event)) {
        event.preventDefault();
        send();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        cancel();
      }
    });
    this.message.replaceChildren(
      field,
      element("p", { class: "soft" }, "What followed this message is dropped when it is sent again."),
      element("div", { class: "buttons" },
        button("Cancel", cancel), button("Send again", send, { class: "strong" })));
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

/** Whether a key sends: Enter, but not where it ends a word of an input method. */
export function sends(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
