// The server's routes, and what goes wrong with them, in words.

import { readEvents } from "./events.js";

const TOKEN = "ingot.token";
let token = readToken();

function readToken() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}

/** Send this bearer token from now on; it is forgotten with the tab. */
export function useToken(given) {
  token = given;
  try {
    sessionStorage.setItem(TOKEN, given);
  } catch {
    // It holds until the page is left.
  }
}

/** Whether a token is sent. */
export function hasToken() {
  return token !== null;
}

/** A request that got no answer; its message is for the person who reads the page. */
export class ApiError extends Error {
  /**
   * @param {number} status of HTTP; 0 where there was no response.
   * @param {?number} retryAfter seconds, where the server named them.
   */
  constructor(status, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

async function ask(path, options) {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  if (options.body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // A token that no header can hold ends here as well.
    throw new ApiError(0, "The server cannot be reached. Is it still running?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const status = response.status;
  const said = await response
    .json()
    .then((body) => body?.error?.message ?? body?.detail)
    .catch(() => null);
  const detail = typeof said === "string" && said ? `: ${said}` : ".";
  if (status === 401) return new ApiError(status, "The server asks for a token, or refused the one it was given.");
  if (status === 429) {
    const seconds = Number(response.headers.get("Retry-After"));
    return new ApiError(status, `The server is busy${detail}`, seconds > 0 ? Math.ceil(seconds) : null);
  }
  if (status >= 500) return new ApiError(status, `The server failed (${status})${detail}`);
  return new ApiError(status, `The server refused the request (${status})${detail}`);
}

/**
 * The models the server has.
 * @returns {Promise<Array<{name: string, context: ?number}>>} context in tokens, where it is told.
 */
export async function listModels() {
  const { data } = await (await ask("v1/models", {})).json();
  return data.map((model) => ({ name: model.id, context: model.max_model_len ?? null }));
}

/**
 * How many tokens a text or a conversation is to a model; null where the server does not count.
 * @param {{model: string, text: string}|{model: string, messages: Array}} what
 * @param {AbortSignal} signal
 */
export async function countTokens(what, signal) {
  try {
    const body = JSON.stringify(what);
    return (await (await ask("v1/tokenize", { method: "POST", body, signal })).json()).count;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

let offered = null;

/**
 * Whether the server knows what its models were trained on; asked once.
 * @returns {Promise<boolean>}
 */
export function attributes() {
  offered ??= ask("v1/attribution", {}).then(() => true, (error) => {
    if (error.status !== 404) offered = null;
    return false;
  });
  return offered;
}

/** Where a text stands in training texts, as the server tells it. */
export async function attribute(text) {
  return (await ask("v1/attribution", { method: "POST", body: JSON.stringify({ text }) })).json();
}

/** What each stage says of a document. */
export async function passport(docId) {
  return (await (await ask(`v1/attribution/documents/${encodeURIComponent(docId)}`, {})).json()).data;
}

/**
 * The chunks of an answer, each as soon as it is there.
 * @param {Object} body of the request, without what makes it a stream.
 * @param {AbortSignal} signal ends the request.
 */
export async function* streamChat(body, signal) {
  const whole = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await ask("v1/chat/completions", {
    method: "POST",
    body: JSON.stringify(whole),
    signal,
  });
  try {
    for await (const data of readEvents(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(0, `The server broke the answer off: ${chunk.error.message}`);
      yield chunk;
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    if (error instanceof SyntaxError) {
      throw new ApiError(0, "The server sent something that is no answer.");
    }
    throw new ApiError(0, "The connection was lost before the answer ended.");
  }
  throw new ApiError(0, "The connection was lost before the answer ended.");
}
