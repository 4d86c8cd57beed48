// Server-sent events out of a response, as the HTML standard has them.

/**
 * The data of each event, in order.
 *
 * Pieces from the network end anywhere: half a character waits in the decoder, half a line and half
 * an event wait here. An event without the empty line that ends it is dropped.
 * @param {ReadableStream<Uint8Array>} stream
 */
export async function* readEvents(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let waiting = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      waiting += done ? decoder.decode() : decoder.decode(value, { stream: true });
      // A carriage return at the end may be the first half of CR LF.
      const held = !done && waiting.endsWith("\r") ? "\r" : "";
      const lines = waiting.slice(0, waiting.length - held.length).split(/\r\n|\r|\n/);
      waiting = lines.pop() + held;
      for (const line of lines) {
        if (line === "") {
          if (data.length) yield data.join("\n");
          data = [];
        } else if (line === "data") {
          data.push("");
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        }
      }
      if (done) return;
    }
  } finally {
    // Also where the reader of the events stops early: the server is told.
    await reader.cancel().catch(() => undefined);
  }
}
