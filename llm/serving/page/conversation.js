// A conversation: turns, and to each one the answers of the models that were asked.
//
// conversation = { id, created, changed (ms), system, models: [name], turns: [turn] }
// turn         = { prompt, answers: [answer] }
// answer       = see newAnswer

/** An empty conversation. */
export function newConversation() {
  const now = Date.now();
  return { id: crypto.randomUUID?.() ?? fallbackId(), created: now, changed: now, system: "", models: [], turns: [] };
}

// Without a secure context (plain http on another machine) there is no randomUUID.
function fallbackId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");
}

/**
 * An answer nothing is known of yet.
 *
 * status: running, finished, stopped (from here) or failed; finish: the server's reason for the end;
 * dropped: turns left out since the context was full; firstSeconds: until the first token; seconds: from the first to the last; tokens: how many;
 * scored: [{ token, bytes, logprob, top: [...] }], the tokens with their log-probabilities.
 */
export function newAnswer(model) {
  return {
    model, text: "", status: "running", finish: null, error: null, retryAfter: null,
    firstSeconds: null, seconds: null, tokens: null, scored: [], sampling: null, dropped: 0,
  };
}

/** What a list calls it: how its first message begins. */
export function title(conversation) {
  const first = (conversation.turns[0]?.prompt ?? "").replace(/\s+/g, " ").trim();
  const letters = Array.from(first);
  return letters.length > 60 ? `${letters.slice(0, 59).join("")}…` : first || "Empty conversation";
}

/**
 * The messages a model is sent for the turn at `index`.
 *
 * Each model sees its own answers. Earlier turns it was not asked in, or gave no text to, are left
 * out of what it sees, so that questions and answers alternate.
 */
export function messagesFor(conversation, index, model) {
  const messages = [];
  if (conversation.system.trim()) messages.push({ role: "system", content: conversation.system });
  for (const turn of conversation.turns.slice(0, index)) {
    const text = turn.answers.find((answer) => answer.model === model)?.text;
    if (!text) continue;
    messages.push({ role: "user", content: turn.prompt }, { role: "assistant", content: text });
  }
  messages.push({ role: "user", content: conversation.turns[index].prompt });
  return messages;
}
