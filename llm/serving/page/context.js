// Which turns fit into a model's context.

import { countTokens } from "./api.js";

/**
 * The messages less as few of the oldest turns as leave room for an answer: for its maximum of
 * tokens, or half the context where that is less. The system prompt and the last message stay.
 * @param {?number} context of the model in tokens; null where the server does not say.
 * @returns {Promise<{messages: Array, dropped: number}>} and how many turns were left out.
 */
export async function fitMessages(model, messages, context, maxTokens, signal) {
  const system = messages[0].role === "system" ? 1 : 0;
  const turns = (messages.length - system - 1) / 2;
  const without = (dropped) => [...messages.slice(0, system), ...messages.slice(system + 2 * dropped)];
  if (context === null || turns === 0) return { messages, dropped: 0 };
  const most = context - Math.min(maxTokens, Math.floor(context / 2));
  // The fewest, between none and all.
  let low = 0;
  let high = turns;
  try {
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const count = await countTokens({ model, messages: without(middle) }, signal);
      if (count === null || count <= most) high = middle;
      else low = middle + 1;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // What is wrong is said where the answer is asked for.
    return { messages, dropped: 0 };
  }
  return { messages: without(low), dropped: low };
}
