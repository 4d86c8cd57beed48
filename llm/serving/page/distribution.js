// What temperature and top-k do to a distribution of which the likeliest tokens are known.

/**
 * The tokens that are known at a place, likeliest first, with what the model gave each.
 * @returns {Array<{token, bytes, probability, chosen}>}
 */
export function candidates(scored) {
  const same = (other) =>
    other.token === scored.token && String(other.bytes ?? "") === String(scored.bytes ?? "");
  const all = [{ ...scored, chosen: true }];
  for (const other of scored.top) if (!same(other)) all.push({ ...other, chosen: false });
  return all
    .map(({ token, bytes, logprob, chosen }) => ({ token, bytes, logprob, probability: Math.exp(logprob), chosen }))
    .sort((one, other) => other.logprob - one.logprob);
}

/**
 * Probabilities after temperature and top-k, in the order of the candidates.
 *
 * They sum to 1 over the candidates alone, since no other token is known. At temperature 0 the
 * likeliest takes all.
 * @param {Array} known as of `candidates`.
 * @param {number} temperature 0 or more.
 * @param {number} topK this many of the likeliest remain.
 */
export function reshape(known, temperature, topK) {
  if (temperature === 0) return known.map((_, place) => (place === 0 ? 1 : 0));
  // Relative to the likeliest, so that nothing overflows at a low temperature.
  const weights = known.map(({ logprob }, place) =>
    place < topK ? Math.exp((logprob - known[0].logprob) / temperature) : 0);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
