// Light or dark: as the system has it, until the switch says otherwise.

const KEY = "ingot.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off: the system decides
  }
}

function keep(theme) {
  try {
    if (theme === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // It holds until the page is left.
  }
}

let theme = chosen();

function isDark() {
  return theme === "dark" || (theme !== "light" && system.matches);
}

function show() {
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
}

/** Make the button the switch between light and dark. */
export function wireThemeSwitch(button) {
  button.addEventListener("click", () => {
    const dark = !isDark();
    theme = dark === system.matches ? null : dark ? "dark" : "light";
    keep(theme);
    show();
  });
  system.addEventListener("change", show);
  show();
}

show();
