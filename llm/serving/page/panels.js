// History and settings: columns beside the conversation, or over it where there is no room.

const wide = matchMedia("(min-width: 64rem)");

/**
 * Make a button open and close a panel.
 *
 * Over the conversation a panel is closed at first, takes the focus, and gives it back; Escape
 * closes it, and what lies under it cannot be reached.
 */
export function wirePanel(panel, button, openWhenWide) {
  const beneath = [document.querySelector("header"), document.querySelector("main")];

  function set(open) {
    panel.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
    for (const part of beneath) part.inert = open && !wide.matches;
  }
  function close() {
    set(false);
    button.focus();
  }

  button.addEventListener("click", () => {
    const open = !panel.classList.contains("open");
    set(open);
    if (open && !wide.matches) panel.focus();
  });
  panel.querySelector(".close").addEventListener("click", close);
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || wide.matches) return;
    event.stopPropagation();
    close();
  });
  wide.addEventListener("change", () => set(wide.matches && openWhenWide));
  set(wide.matches && openWhenWide);

  /** Close it where it covers the conversation. */
  return () => {
    if (!wide.matches && panel.classList.contains("open")) close();
  };
}
