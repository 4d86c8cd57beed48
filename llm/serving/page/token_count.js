// How many tokens the message is, as it is typed.

import { countTokens } from "./api.js";

const PAUSE = 300; // milliseconds without a key before the server is asked

/**
 * Show the count beside the message; hide it where the server does not count.
 * @param {function(): ?string} model the one whose tokens are counted.
 * @returns {function(): void} counts anew, for a text or model changed otherwise.
 */
export function wireTokenCount(message, place, model) {
  let timer = null;
  let asked = null;
  let counts = true;

  async function count() {
    const signal = asked.signal;
    try {
      const found = await countTokens({ model: model(), text: message.value }, signal);
      if (signal.aborted) return;
      counts = found !== null;
      place.hidden = !counts;
      place.textContent = found === 1 ? "1 token" : `${found} tokens`;
    } catch {
      // A count is a convenience; what is wrong with the server is said where a message is sent.
      if (!signal.aborted) place.hidden = true;
    }
  }

  function recount() {
    clearTimeout(timer);
    asked?.abort();
    asked = new AbortController();
    if (!counts) return;
    if (!message.value || !model()) {
      place.hidden = true;
      return;
    }
    timer = setTimeout(count, PAUSE);
  }

  message.addEventListener("input", recount);
  return recount;
}
