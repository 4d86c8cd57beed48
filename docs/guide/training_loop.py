"""Training a language model: guess the next token, look, move every weight a little."""

import math

import torch
import torch.nn.functional as F


def rate_at(step, steps, warmup):
    """Share of the highest learning rate: up in a line, down along a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def train(model, batches, learning_rate, warmup):
    """A step for each batch, int64 (rows, T + 1) of token ids; the loss of each, in nats."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if "_proj" in name]  # of attention and MLP
    others = [weight for name, weight in named if "_proj" not in name]  # embedding and norms
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    losses = []
    for step, rows in enumerate(batches):
        logits = model(rows[:, :-1])  # (rows, T, vocabulary): a guess at every position
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())  # the token after it
        optimiser.zero_grad()
        loss.backward()  # the gradient of every weight
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # no batch pulls too hard
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * rate_at(step, len(batches), warmup)
        optimiser.step()
        losses.append(loss.item())
    return losses
