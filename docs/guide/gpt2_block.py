"""A block of GPT-2 (Radford et al. 2019), with nothing but PyTorch: w holds its weights by name."""

import math

import torch


def layer_norm(x, weight, bias, eps=1e-5):
    """Mean 0 and standard deviation 1, then a factor and a bias for each channel."""
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def gelu(x):
    """A step that is smooth: about 0 below zero, about x above."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def linear(x, w, name):
    """A matrix and a bias."""
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attend(x, w, heads):
    """Causal attention of x (T, D) in so many heads."""
    length, width = x.shape
    q, k, v = (
        part.view(length, heads, width // heads).transpose(0, 1)  # (H, T, d)
        for part in linear(x, w, "attn.c_attn").chunk(3, dim=-1)
    )
    scores = q @ k.mT / math.sqrt(width // heads)
    ahead = torch.ones(length, length, dtype=torch.bool).triu(1)
    out = scores.masked_fill(ahead, -math.inf).softmax(-1) @ v
    return linear(out.transpose(0, 1).reshape(length, width), w, "attn.c_proj")


def block(x, w, heads):
    """x (T, D) -> (T, D): both parts read a normalised copy, and add to the stream."""
    x = x + attend(layer_norm(x, w["ln_1.weight"], w["ln_1.bias"]), w, heads)
    inner = gelu(linear(layer_norm(x, w["ln_2.weight"], w["ln_2.bias"]), w, "mlp.c_fc"))
    return x + linear(inner, w, "mlp.c_proj")
