// An answer as it comes in, with its times.

import { ApiError, streamChat } from "./api.js";
import { fitMessages } from "./context.js";

/** Runners-up that are shown of a token. One more is asked for: the token itself may be among them. */
export const RUNNERS_UP = 5;

/**
 * Fill an answer from the server, until it ends, fails or is stopped.
 * @param {Object} answer as of `newAnswer`; it is changed in place.
 * @param {Array} messages of which the oldest turns are left out where the context is full.
 * @param {?number} context of the model in tokens, where it is known.
 * @param {Object} sampling fields of the request.
 * @param {AbortSignal} signal stops it.
 * @param {function(): void} changed called after each change.
 */
export async function fillAnswer(answer, messages, context, sampling, signal, changed) {
  let asked = null;
  let first = null;
  let last = null;
  answer.sampling = sampling;
  try {
    const fitting = await fitMessages(answer.model, messages, context, sampling.max_tokens, signal);
    answer.dropped = fitting.dropped;
    const body = {
      model: answer.model, messages: fitting.messages,
      logprobs: true, top_logprobs: RUNNERS_UP + 1, ...sampling,
    };
    asked = performance.now();
    for await (const chunk of streamChat(body, signal)) {
      if (chunk.usage) answer.tokens = chunk.usage.completion_tokens;
      const choice = chunk.choices?.[0];
      if (choice) {
        const text = choice.delta?.content ?? "";
        const scored = choice.logprobs?.content ?? [];
        if (text || scored.length) {
          last = performance.now();
          first ??= last;
        }
        answer.text += text;
        answer.scored.push(...scored.map(asScored));
        answer.finish = choice.finish_reason ?? answer.finish;
      }
      measure(answer, asked, first, last);
      changed();
    }
    answer.status = "finished";
  } catch (error) {
    if (signal.aborted) {
      answer.status = "stopped";
    } else if (error instanceof ApiError) {
      answer.status = "failed";
      answer.error = { status: error.status, message: error.message, retryAfter: error.retryAfter };
    } else {
      answer.status = "failed";
      answer.error = { status: 0, message: "The server sent something that is no answer.", retryAfter: null };
      console.error(error);
    }
  }
  answer.tokens ??= answer.scored.length || null;
  measure(answer, asked, first, last);
  changed();
}

function measure(answer, asked, first, last) {
  if (first === null) return;
  answer.firstSeconds = (first - asked) / 1000;
  answer.seconds = (last - first) / 1000;
}

/** Tokens a second from the first token on; null where there are too few to say. */
export function rate(answer) {
  const tokens = answer.tokens ?? answer.scored.length;
  return tokens > 1 && answer.seconds > 0 ? (tokens - 1) / answer.seconds : null;
}

// Kept small, since the browser's storage is: the text, its bytes only where the text is not whole.
function asScored(entry) {
  return { ...asCandidate(entry), top: (entry.top_logprobs ?? []).map(asCandidate) };
}

function asCandidate({ token, bytes, logprob }) {
  const kept = { token, logprob: Math.round(logprob * 1e5) / 1e5 };
  return token.includes("\ufffd") && bytes ? { ...kept, bytes } : kept;
}
