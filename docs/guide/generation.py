"""Writing with a language model: temperature, top-k, and a draw by lot."""

import torch


def probabilities(logits, temperature, top_k):
    """Of each token to be the next, from its logits (vocabulary,)."""
    kept, places = logits.topk(top_k)  # the k highest, and which tokens they are
    shares = torch.softmax(kept / temperature, dim=-1)
    return torch.zeros_like(logits).scatter(0, places, shares)


def write(model, prompt, length, temperature, top_k, draw):
    """So many tokens that go on with a prompt; draw() gives numbers between 0 and 1."""
    tokens = list(prompt)
    for _ in range(length):
        with torch.no_grad():
            logits = model(torch.tensor([tokens]))[0, -1].double()  # of the token after the last
        sums = probabilities(logits, temperature, top_k).cumsum(-1)
        chosen = torch.searchsorted(sums, draw() * sums[-1], right=True)  # the draw falls into it
        tokens.append(int(chosen))
    return tokens[len(prompt) :]
