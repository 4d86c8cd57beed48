// Elements out of text: what a model wrote becomes text nodes and never markup.

/**
 * An element.
 * @param {string} tag
 * @param {Object} properties of the element; `class`, and names with a dash, are set as attributes.
 * @param {...(Node|string)} children strings become text nodes.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name === "for" || name === "role" || name.includes("-")) {
      made.setAttribute(name, value);
    } else {
      made[name] = value;
    }
  }
  made.append(...children);
  return made;
}

/** A button that does something. */
export function button(label, act, properties = {}) {
  const made = element("button", { type: "button", class: "quiet", ...properties }, label);
  made.addEventListener("click", act);
  return made;
}
