"""What llama.cpp makes of a GGUF file. A script: `python -I llamacpp.py ask.json`.

It runs without the project. `ask.json` names the file, texts to tokenise, conversations to render,
prompts to continue and rows of tokens to score; the answer goes to `reply.json` beside it. It ends
with whoever holds its standard input. llama.cpp ends a process where something is wrong with what
it was given, so it has one of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Added to the logit of the token that is to be scored, so that it is chosen; what is reported of it
# is its probability without.
_CERTAIN = 1e6


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


class LlamaCpp:
    """A file loaded by llama.cpp's server, which listens on this machine's loopback address.

    Keys and values are kept as float32, since their default, float16, would be measured too.
    """

    def __init__(self, file: str, context: int, threads: int) -> None:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = file
        parameters.n_ctx = context
        parameters.n_parallel = 1
        parameters.port = 0
        parameters.warmup = False
        parameters.verbosity = 1
        if threads:
            parameters.cpuparams.n_threads = threads
            parameters.cpuparams_batch.n_threads = threads
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        self._server = xllamacpp.Server(parameters)
        self._connection = http.client.HTTPConnection(
            urlsplit(self._server.listening_address).netloc
        )

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request, which must be a good one."""
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body).encode(), headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {content.decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(content)
        return answer

    def token_ids(self, text: str, frame: bool) -> list[int]:
        """Special tokens in a text are characters, in a rendered conversation they are tokens."""
        body = {"content": text, "add_special": not frame, "parse_special": frame}
        tokens: list[int] = self.post("/tokenize", body)["tokens"]
        return tokens

    def rendered(self, messages: list[dict[str, str]]) -> str:
        """A conversation up to where the next answer begins."""
        return str(self.post("/apply-template", {"messages": messages})["prompt"])

    def continued(self, prompt: list[int], new_tokens: int) -> list[int]:
        """The greedy continuation."""
        body = {"prompt": prompt, "n_predict": new_tokens, "temperature": 0.0}
        reply = self.post("/completion", {**body, "return_tokens": True, "cache_prompt": False})
        tokens: list[int] = reply["tokens"]
        return tokens

    def scored(self, row: list[int], end: int, vocabulary: int) -> tuple[list[float], list[int]]:
        """Of each token but the first, its log-probability (nats) after those before it, and the
        most probable token there.

        Args:
            end: a token that ends generation.
            vocabulary: its size.
        """
        logprobs, best = [], []
        for place in range(1, len(row)):
            told = self._probabilities(row[:place], row[place], 1)
            if told is None:
                # Of a token that is the beginning of a character nothing is told: take another,
                # and the one asked for from among all.
                told = self._probabilities(row[:place], end, vocabulary)
                assert told is not None
                by_id = {entry["id"]: entry["logprob"] for entry in told["top_logprobs"]}
                logprobs.append(by_id[row[place]])
            else:
                logprobs.append(told["logprob"])
            best.append(told["top_logprobs"][0]["id"])
        return logprobs, best

    def _probabilities(self, prompt: list[int], chosen: int, most: int) -> dict[str, Any] | None:
        """What is told where a token is made to follow: its log-probability without that, and
        those of the most probable ones."""
        body = {
            "prompt": prompt,
            "n_predict": 1,
            "temperature": 0.0,
            "n_probs": most,
            "logit_bias": [[chosen, _CERTAIN]],
            "cache_prompt": True,
        }
        told = self.post("/completion", body).get("completion_probabilities")
        if not told:
            return None
        first: dict[str, Any] = told[0]
        if first["id"] != chosen:
            raise RuntimeError(f"asked for token {chosen}, scored was {first['id']}")
        return first


def answer(ask: dict[str, Any], folder: Path) -> None:
    """Load the file, and write down what it gives."""
    model = LlamaCpp(ask["file"], ask["context"], ask["threads"])
    chats = [model.rendered(chat) for chat in ask["chats"]]
    scored = [model.scored(row, ask["end"], ask["vocabulary"]) for row in ask["rows"]]
    reply = {
        "ids": [model.token_ids(text, frame=False) for text in ask["texts"]],
        "chats": chats,
        "chat_ids": [model.token_ids(chat, frame=True) for chat in chats],
        "continued": [model.continued(p["ids"], p["new_tokens"]) for p in ask["prompts"]],
        "logprobs": [logprobs for logprobs, _ in scored],
        "best": [best for _, best in scored],
    }
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    path = Path(sys.argv[1])
    answer(json.loads(path.read_text(encoding="utf-8")), path.parent)
    # llama.cpp's threads may still be closing down; what was asked for is written.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
