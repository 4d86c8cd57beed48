// The tokens of an answer, coloured by probability, and one of them looked at closely: what the
// model might have said instead, and what temperature and top-k make of that.

import { RUNNERS_UP } from "./answering.js";
import { candidates, reshape } from "./distribution.js";
import { element } from "./elements.js";

// Lower bounds of the colours, the last one for everything below.
const STEPS = [0.9, 0.6, 0.3, 0.1, 0];
const LEGEND = ["90 % and more", "60 %", "30 %", "10 %", "less"];

/** The view; its first token is looked at. */
export function tokensView(answer, name) {
  const list = element("div", { class: "tokens", role: "listbox", "aria-label": `Tokens of ${name}` });
  const detail = element("section", { class: "detail", "aria-label": "The token looked at" });
  const options = answer.scored.map((scored) => option(scored));
  list.append(...options);
  let current = null;

  function look(place) {
    if (current !== null) {
      options[current].setAttribute("aria-selected", "false");
      options[current].tabIndex = -1;
    }
    current = place;
    options[place].setAttribute("aria-selected", "true");
    options[place].tabIndex = 0;
    detail.replaceChildren(...distributionView(answer.scored[place], place, options.length));
  }

  list.addEventListener("click", (event) => {
    const place = options.indexOf(event.target.closest("[role=option]"));
    if (place >= 0) look(place);
  });
  list.addEventListener("focusin", (event) => {
    const place = options.indexOf(event.target);
    if (place >= 0 && place !== current) look(place);
  });
  list.addEventListener("keydown", (event) => {
    const place = nextPlace(event.key, current, options);
    if (place === null) return;
    event.preventDefault();
    options[place].focus();
  });
  look(0);
  return element("div", { class: "tokens-view" }, legend(), list, detail);
}

function option(scored) {
  const probability = Math.exp(scored.logprob);
  const step = STEPS.findIndex((bound) => probability >= bound);
  const text = shownText(scored);
  return element(
    "span",
    {
      class: `token p${step}`, role: "option", tabIndex: -1, "aria-selected": "false",
      "aria-label": `${spokenText(scored)}, ${percent(probability)}`,
    },
    text.replaceAll("\n", "↵\n"),
  );
}

function nextPlace(key, current, options) {
  const last = options.length - 1;
  switch (key) {
    case "ArrowRight": return Math.min(current + 1, last);
    case "ArrowLeft": return Math.max(current - 1, 0);
    case "Home": return 0;
    case "End": return last;
    case "ArrowDown": return inNextLine(current, options, 1);
    case "ArrowUp": return inNextLine(current, options, -1);
    default: return null;
  }
}

// The token of the next line that stands closest under (or above) this one.
function inNextLine(current, options, step) {
  const top = (place) => options[place].getClientRects()[0].top;
  const left = (place) => options[place].getClientRects()[0].left;
  let place = current;
  while (options[place + step] && Math.abs(top(place) - top(current)) < 4) place += step;
  if (place === current || Math.abs(top(place) - top(current)) < 4) return current;
  const line = top(place);
  let best = place;
  for (; options[place] && Math.abs(top(place) - line) < 4; place += step) {
    if (Math.abs(left(place) - left(current)) < Math.abs(left(best) - left(current))) best = place;
  }
  return best;
}

function legend() {
  const parts = LEGEND.map((text, step) =>
    element("span", {}, element("span", { class: `swatch p${step}`, "aria-hidden": "true" }), text));
  return element("p", { class: "legend soft" }, "Probability: ", ...parts);
}

function distributionView(scored, place, count) {
  const known = candidates(scored);
  const beyond = Math.max(0, 1 - known.reduce((sum, one) => sum + one.probability, 0));
  const rows = known.slice(0, RUNNERS_UP + 1).map(barRow);
  // The chosen one is shown even when it is the least likely of all that are known.
  const chosen = known.find((one) => one.chosen);
  if (!known.slice(0, RUNNERS_UP + 1).includes(chosen)) rows[RUNNERS_UP] = barRow(chosen);
  const shown = rows.map((row) => row.candidate);

  const temperature = slider("Temperature", 0, 3, 0.05, 1);
  const topK = slider("Top-k", 1, shown.length, 1, shown.length);
  const draw = () => {
    const chances = reshape(shown, temperature.input.valueAsNumber, topK.input.valueAsNumber);
    rows.forEach((row, index) => row.draw(chances[index]));
    const all = topK.input.valueAsNumber === shown.length;
    temperature.show(temperature.input.valueAsNumber.toFixed(2));
    topK.show(all ? "all shown" : topK.input.value);
    const likeliest = chances.indexOf(Math.max(...chances));
    const effect = `${spokenText(shown[likeliest])}: ${percent(chances[likeliest])}`;
    temperature.speak(`${temperature.input.value}, ${effect}`);
    topK.speak(`${all ? "all shown" : topK.input.value}, ${effect}`);
  };
  temperature.input.addEventListener("input", draw);
  topK.input.addEventListener("input", draw);
  draw();

  return [
    element("h4", {},
      element("code", {}, visibleText(scored)), ` ${percent(Math.exp(scored.logprob))}`,
      element("span", { class: "soft" }, `  token ${place + 1} of ${count}`)),
    element("ol", { class: "bars" }, ...rows.map((row) => row.line)),
    element("div", { class: "sliders" }, temperature.label, topK.label),
    element("p", { class: "soft" },
      `Only these ${shown.length} tokens are known here; the model gave all others together ` +
      `${percent(beyond)}. The bars share out 100 % among the known ones. The mark on a bar is what ` +
      "the model gave that token, before any setting."),
  ];
}

function barRow(candidate) {
  const bar = element("span", { class: "bar" });
  const mark = element("span", { class: "mark" });
  const figure = element("span", { class: "figure" });
  mark.style.left = `${candidate.probability * 100}%`;
  const line = element("li", candidate.chosen ? { class: "chosen" } : {},
    element("code", {}, visibleText(candidate)),
    element("span", { class: "track", "aria-hidden": "true" }, bar, mark),
    figure);
  if (candidate.chosen) line.append(element("span", { class: "unseen" }, " (chosen)"));
  return {
    candidate,
    line,
    draw(chance) {
      bar.style.width = `${chance * 100}%`;
      figure.textContent = percent(chance);
      line.classList.toggle("out", chance === 0);
    },
  };
}

function slider(name, min, max, step, value) {
  const input = element("input", { type: "range", min, max, step });
  input.value = value; // after the bounds, which would clip it
  // No <output>: a label belongs to the first field in it, and that is one.
  const output = element("span", { class: "value", "aria-hidden": "true" });
  return {
    input,
    label: element("label", {}, element("span", { class: "name" }, name, output), input),
    show: (text) => { output.textContent = text; },
    speak: (text) => input.setAttribute("aria-valuetext", text),
  };
}

/** `42 %`; small ones keep a digit that says something. */
export function percent(probability) {
  const value = probability * 100;
  if (value === 0 || value >= 99.95) return `${Math.round(value)} %`;
  if (value >= 0.1) return `${value.toFixed(1)} %`;
  return "< 0.1 %";
}

// Half a character is shown as its bytes.
function shownText({ token, bytes }) {
  if (!bytes) return token;
  return `⟨${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}⟩`;
}

function visibleText(candidate) {
  return shownText(candidate).replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
}

function spokenText(candidate) {
  const words = { " ": "space", "\n": "new line", "\t": "tab", "": "nothing" };
  const text = shownText(candidate);
  return words[text] ?? text;
}
