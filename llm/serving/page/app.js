// The page: a conversation with one to three models.

import { hasToken, listModels, useToken } from "./api.js";
import { fillAnswer } from "./answering.js";
import { messagesFor, newAnswer, newConversation, title } from "./conversation.js";
import { button, element } from "./elements.js";
import { History } from "./history.js";
import { exportAsJson, showHistory } from "./history_list.js";
import { ModelChoice } from "./models.js";
import { wirePanel } from "./panels.js";
import { Settings } from "./settings.js";
import { wireThemeSwitch } from "./theme.js";
import { wireTokenCount } from "./token_count.js";
import { askForToken } from "./token_dialog.js";
import { TurnView, sends } from "./turn_view.js";

const at = (id) => document.getElementById(id);
const message = at("message");

let conversation = newConversation();
let views = [];
/** Ends what is running; null when nothing is. */
let running = null;

const settings = new Settings(at("sampling"), at("system"));
const history = new History((text) => notice("storage", text));
const recount = wireTokenCount(message, at("token-count"), () => models.chosen()[0]);
const models = new ModelChoice(at("models"), () => {
  recount();
  showBusy();
});
const closeHistory = wirePanel(at("history"), at("history-button"), true);
wirePanel(at("settings"), at("settings-button"), true);
wireThemeSwitch(at("theme"));

/** Say something above the conversation, in place of what was said of the same subject. */
function notice(subject, text, ...more) {
  document.getElementById(`notice-${subject}`)?.remove();
  if (text) at("notice").append(element("p", { id: `notice-${subject}` }, text, ...more));
  at("notice").hidden = !at("notice").childElementCount;
}

// ---- the server ----

async function loadModels() {
  try {
    const offered = await listModels();
    models.offer(offered);
    notice("server", offered.length ? "" : "The server has no model.");
  } catch (error) {
    if (error.status === 401) {
      const given = await askForToken(hasToken());
      if (given !== null) {
        useToken(given);
        await loadModels();
        return;
      }
    }
    notice("server", error.message, " ", button("Try again", loadModels));
  }
}

// ---- a turn ----

function send(text) {
  const asked = models.chosen();
  const faulty = settings.faulty();
  if (running || !text.trim()) return false;
  if (!asked.length) {
    notice("asking", "No model is chosen: choose one to three above.");
    return false;
  }
  if (faulty) {
    notice("asking", "A setting cannot be sent as it is: see Settings.");
    faulty.focus();
    return false;
  }
  notice("asking", "");
  conversation.system = settings.system.value;
  conversation.models = asked;
  const turn = { prompt: text, answers: asked.map(newAnswer) };
  views.at(-1)?.settle();
  conversation.turns.push(turn);
  const view = addView(turn);
  at("welcome").hidden = true;
  at("scroll").scrollTop = at("scroll").scrollHeight;
  run(view, turn.answers);
  return true;
}

function resend(view, text) {
  const place = views.indexOf(view);
  if (running || !models.chosen().length || settings.faulty()) {
    // `send` says what is wrong.
    send(text);
    return;
  }
  conversation.turns.length = place;
  for (const dropped of views.splice(place)) dropped.element.remove();
  send(text);
  focusMessage();
}

function retry(view, answers) {
  if (running) return;
  const anew = answers.map((answer) => newAnswer(answer.model));
  answers.forEach((answer, index) => {
    view.turn.answers[view.turn.answers.indexOf(answer)] = anew[index];
  });
  view.showAnswers();
  run(view, anew);
  focusMessage();
}

async function run(view, answers) {
  const stop = new AbortController();
  running = stop;
  at("finished").replaceChildren();
  showBusy();
  const place = conversation.turns.indexOf(view.turn);
  const sampling = settings.sampling();
  const asked = conversation;
  keep(asked);
  await Promise.all(answers.map(async (answer) => {
    const shown = view.answers.find((other) => other.answer === answer);
    const draw = onceAFrame(() => {
      const follow = isAtEnd();
      shown.update();
      if (follow) at("scroll").scrollTop = at("scroll").scrollHeight;
    });
    const messages = messagesFor(asked, place, answer.model);
    const context = models.context(answer.model);
    await fillAnswer(answer, messages, context, sampling, stop.signal, draw.soon);
    draw.now();
    announce(answer);
  }));
  if (running === stop) running = null;
  // Unless it was deleted meanwhile.
  if (history.get(asked.id)) keep(asked);
  showBusy();
  const refused = answers.filter((answer) => answer.error?.status === 401);
  if (!refused.length || asked !== conversation) return;
  const given = await askForToken(hasToken());
  if (given === null || asked !== conversation) return;
  useToken(given);
  retry(view, refused);
}

function announce(answer) {
  const text = answer.status === "failed" ? answer.error.message : answer.text || "nothing";
  const how = answer.status === "stopped" ? " stopped after" : "";
  at("finished").append(element("p", {}, `${answer.model}${how}: ${text}`));
}

function isAtEnd() {
  const { scrollHeight, scrollTop, clientHeight } = at("scroll");
  return scrollHeight - scrollTop - clientHeight < 48;
}

function onceAFrame(draw) {
  let waiting = null;
  const now = () => {
    if (waiting !== null) cancelAnimationFrame(waiting);
    waiting = null;
    draw();
  };
  return { now, soon: () => { waiting ??= requestAnimationFrame(now); } };
}

// Where there are keys: elsewhere the focus would bring up a keyboard over the answers.
function focusMessage() {
  if (!matchMedia("(pointer: coarse)").matches) message.focus();
}

function stopRunning() {
  running?.abort();
}

function showBusy() {
  const busy = running !== null;
  const stopHadFocus = document.activeElement === at("stop");
  at("stop").hidden = !busy;
  at("send").hidden = busy;
  at("send").disabled = !models.chosen().length;
  if (!busy && stopHadFocus) focusMessage();
  for (const view of views) view.setBusy(busy);
}

// ---- the conversation ----

function addView(turn) {
  const view = new TurnView(turn, (text) => resend(view, text), (answer) => retry(view, [answer]));
  views.push(view);
  at("turns").append(view.element);
  return view;
}

function open(other) {
  stopRunning();
  running = null;
  conversation = other;
  views = [];
  at("turns").replaceChildren();
  for (const turn of conversation.turns) addView(turn);
  for (const view of views.slice(0, -1)) view.settle();
  if (conversation.turns.length) {
    settings.system.value = conversation.system;
    models.choose(conversation.models);
  }
  at("welcome").hidden = conversation.turns.length > 0;
  at("scroll").scrollTop = at("scroll").scrollHeight;
  showBusy();
  listHistory();
}

function keep(which) {
  history.save(which);
  listHistory();
}

function listHistory() {
  showHistory(history.list(), conversation.id, {
    open(kept) {
      closeHistory();
      if (kept.id !== conversation.id) open(kept);
    },
    remove,
  });
}

function remove(kept) {
  if (!confirm(`Delete “${title(kept)}”?`)) return;
  stopRunning();
  history.delete(kept.id);
  open(newConversation());
  at("new").focus();
}

// ---- what is pressed ----

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (send(message.value)) {
    message.value = "";
    recount();
    focusMessage();
  }
});
message.addEventListener("keydown", (event) => {
  if (!sends(event)) return;
  event.preventDefault();
  at("composer").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) stopRunning();
});
at("stop").addEventListener("click", stopRunning);
at("new").addEventListener("click", () => {
  closeHistory();
  open(newConversation());
  focusMessage();
});
at("export-all").addEventListener("click", () => exportAsJson(history.list(), "ingot-conversations.json"));
at("reset").addEventListener("click", () => settings.reset());
// Another tab wrote or deleted a conversation.
addEventListener("storage", (event) => {
  if (running || !event.key?.startsWith("ingot.conversation.")) return;
  history.read();
  listHistory();
});
addEventListener("pagehide", () => {
  if (!running) return;
  stopRunning(); // else the lost connection would look like a fault of the server
  history.save(conversation);
});

listHistory();
showBusy();
focusMessage();
await loadModels();
