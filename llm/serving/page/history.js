// Conversations in this browser's storage, one entry each. Storage that is off, full or holds
// something else costs what it must and no more: the page goes on, and says what was lost.

const PREFIX = "ingot.conversation.";

/** Conversations, newest first, as they were read and written. */
export class History {
  #kept = new Map();

  /** @param {function(string): void} say tells the person what could not be kept. */
  constructor(say) {
    this.say = say;
    this.read();
  }

  /** Read what is stored; entries that are no conversation are left where they are. */
  read() {
    this.#kept.clear();
    let unreadable = 0;
    try {
      for (let place = 0; place < localStorage.length; place += 1) {
        const key = localStorage.key(place);
        if (!key.startsWith(PREFIX)) continue;
        const conversation = parse(localStorage.getItem(key));
        if (conversation && PREFIX + conversation.id === key) {
          this.#kept.set(conversation.id, conversation);
        } else {
          unreadable += 1;
        }
      }
    } catch {
      this.say("This browser keeps no data for this page: conversations are gone once it is left.");
    }
    if (unreadable) {
      const what = unreadable === 1 ? "One stored conversation" : `${unreadable} stored conversations`;
      this.say(`${what} could not be read and was left as it is.`);
    }
  }

  /** All of them, the one changed last first. */
  list() {
    return [...this.#kept.values()].sort((one, other) => other.changed - one.changed);
  }

  get(id) {
    return this.#kept.get(id) ?? null;
  }

  /** Keep a conversation; where room is short, tokens of the oldest answers go first. */
  save(conversation) {
    conversation.changed = Date.now();
    this.#kept.set(conversation.id, conversation);
    if (write(conversation)) return;
    for (const older of this.list().reverse()) {
      if (!dropTokens(older)) continue;
      this.say("The browser's storage is full: token probabilities of older answers were dropped.");
      write(older);
      if (write(conversation)) return;
    }
    this.say("The browser's storage is full or off: this conversation is not kept. Export it, or delete others.");
  }

  delete(id) {
    this.#kept.delete(id);
    try {
      localStorage.removeItem(PREFIX + id);
    } catch {
      // Then it was not stored either.
    }
  }
}

function write(conversation) {
  try {
    localStorage.setItem(PREFIX + conversation.id, JSON.stringify(conversation));
    return true;
  } catch {
    return false;
  }
}

function dropTokens(conversation) {
  let dropped = false;
  for (const answer of conversation.turns.flatMap((turn) => turn.answers)) {
    if (answer.status === "running" || !answer.scored.length) continue;
    answer.scored = [];
    dropped = true;
  }
  return dropped;
}

// Storage is the person's to edit, and an earlier page's to have written: every field is checked.
function parse(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch {
    return null;
  }
  const whole =
    isObject(read) && typeof read.id === "string" && typeof read.system === "string" &&
    Number.isFinite(read.changed) && isListOf(read.models, (name) => typeof name === "string") &&
    isListOf(read.turns, isTurn);
  if (!whole) return null;
  for (const answer of read.turns.flatMap((turn) => turn.answers)) {
    // The page was left before it ended.
    if (answer.status === "running") answer.status = "stopped";
  }
  return read;
}

function isTurn(turn) {
  return isObject(turn) && typeof turn.prompt === "string" && isListOf(turn.answers, isAnswer);
}

function isAnswer(answer) {
  return (
    isObject(answer) && typeof answer.model === "string" && typeof answer.text === "string" &&
    ["running", "finished", "stopped", "failed"].includes(answer.status) &&
    (answer.error === null || (isObject(answer.error) && typeof answer.error.message === "string")) &&
    [answer.firstSeconds, answer.seconds, answer.tokens].every((value) => value === null || Number.isFinite(value)) &&
    isListOf(answer.scored, (scored) => isCandidate(scored) && isListOf(scored.top, isCandidate))
  );
}

function isCandidate(candidate) {
  return (
    isObject(candidate) && typeof candidate.token === "string" && Number.isFinite(candidate.logprob) &&
    (candidate.bytes === undefined || isListOf(candidate.bytes, Number.isInteger))
  );
}

function isObject(value) {
  return value !== null && typeof value === "object";
}

function isListOf(value, isOne) {
  return Array.isArray(value) && value.every(isOne);
}
