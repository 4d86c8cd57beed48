"""Training a byte-level BPE tokenizer.

Byte-level BPE as in GPT-2 (Radford et al. 2019, section 2.2): every text has an encoding, there
is no unknown token, and decoding gives the bytes back. Texts are first split by the regular
expression of Qwen2, which takes digits one by one, or by that of Llama 3, which is the same but
takes up to three at once. There is no normaliser: decode(encode(t)) is t, not its NFC form.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm.errors import ExpectedError
from llm.tokens.hf_folder import write_folder
from llm.tokens.merging import Words, count_words, learn_merges, library
from llm.tokens.special_tokens import END_OF_TEXT, SPECIAL_TOKENS
from llm.tokens.text_file import TextFile
from llm.tokens.token_bytes import byte_alphabet

if TYPE_CHECKING:
    from tokenizers import Tokenizer, pre_tokenizers, trainers

# Matrix units of accelerators want it, and no row has to be added to the embedding that no text
# trains and sampling could still hit.
VOCABULARY_MULTIPLE = 128

# How digits are taken -> the expression. "single" is the split of Qwen2 (Yang et al. 2024),
# "triple" that of Llama 3 (Grattafiori et al. 2024), taken from cl100k.
SPLITS = {
    digits: (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
        r"|[^\r\n\p{L}\p{N}]?\p{L}+"
        rf"|{number}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+"
        r"|\s+(?!\S)"
        r"|\s+"
    )
    for digits, number in (("single", r"\p{N}"), ("triple", r"\p{N}{1,3}"))
}
# Merging a pair goes through every word that has it, so a run of a million letters, which is one
# word, takes quadratic time. Learned from are pieces of it; no token may be longer anyway.
LONGEST_WORD = 256
# Characters of text that `tokenizers` learns from in the time that the compiler takes.
_PAYS_FROM = 1 << 21


class CorpusTooSmallError(ExpectedError, ValueError):
    """The texts give too few merges for the smallest possible vocabulary."""


@dataclass(frozen=True)
class BpeSettings:
    """How to train.

    Attributes:
        vocabulary_size: tokens in all, special ones included; a multiple of 128.
        min_frequency: a pair that occurs less often is not merged.
        longest_token: bytes a learned token has at most.
        digits: "single" or "triple", a key of `SPLITS`: how many may be in a token.
    """

    vocabulary_size: int
    min_frequency: int
    longest_token: int
    digits: str


def train_folder(texts: Path, settings: BpeSettings, folder: Path) -> int:
    """Train on a file of `llm.tokens.text_file` and write the tokenizer into an existing folder;
    the size of its vocabulary.

    Training is one long call that hears of nothing else, so it is given to a process that can be
    ended; see `train` for what it raises.
    """
    tokenizer = train(TextFile(texts), settings)
    write_folder(tokenizer, folder, END_OF_TEXT)
    return int(tokenizer.get_vocab_size())


def train(texts: Collection[str], settings: BpeSettings) -> Tokenizer:
    """A tokenizer trained on `texts`, equal bytes for equal texts in whatever order and threads.

    The vocabulary is the special tokens, the 256 bytes, then the merges in order. Where the texts
    give fewer merges than asked for, it has the greatest multiple of 128 they do fill. A BPE
    vocabulary is a prefix of every larger one from the same texts, so it is trained again with
    that size.

    Raises:
        ValueError: `vocabulary_size` is not a multiple of 128.
        CorpusTooSmallError: the texts do not fill the smallest multiple above the alphabet.
    """
    size = settings.vocabulary_size
    if size % VOCABULARY_MULTIPLE:
        raise ValueError(f"vocabulary_size {size} is not a multiple of {VOCABULARY_MULTIPLE}")
    learn = _learner(texts, settings)
    tokenizer = learn(size)
    reached = tokenizer.get_vocab_size()
    if reached == size:
        return tokenizer
    lower = reached - reached % VOCABULARY_MULTIPLE
    alphabet = len(SPECIAL_TOKENS) + 256
    if lower < alphabet:
        raise CorpusTooSmallError(
            f"the texts give {reached - alphabet} merges; the smallest vocabulary, "
            f"{_least()} tokens, needs {_least() - alphabet}: give more text, or lower "
            "min_frequency"
        )
    return learn(lower)


def min_tokens(text: str, longest_token: int, digits: str) -> int:
    """Tokens a text has at least, whatever the vocabulary: no token reaches over the split.

    Args:
        longest_token: bytes a token has at most.
        digits: a key of `SPLITS`.
    """
    pieces = _split(digits).pre_tokenize_str(text)
    return sum(-(-len(piece.encode()) // longest_token) for piece, _ in pieces)


def _split(digits: str) -> pre_tokenizers.Split:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(SPLITS[digits]), behavior="isolated", invert=False)


def _least() -> int:
    alphabet = len(SPECIAL_TOKENS) + 256
    return -(-alphabet // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def _trainer(settings: BpeSettings, size: int) -> trainers.BpeTrainer:
    from tokenizers import pre_tokenizers, trainers

    return trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=settings.min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        # All 256 bytes, also those the texts lack: nothing is ever unknown.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=settings.longest_token,
        show_progress=False,
    )


def _learner(texts: Collection[str], settings: BpeSettings) -> Callable[[int], Tokenizer]:
    """A function: size of a vocabulary -> the tokenizer; both ways it is the same."""
    found = library() if _is_much(texts) else None
    if found is None:
        return lambda size: train_by_tokenizers(texts, settings, size)
    expression, split = SPLITS[settings.digits], _split(settings.digits)
    words = count_words(texts, expression, split, LONGEST_WORD)
    return lambda size: _assembled(found, words, settings, size)


def _is_much(texts: Collection[str]) -> bool:
    """Whether it pays to compile what learns fast."""
    size = 0
    for text in texts:
        size += len(text)
        if size >= _PAYS_FROM:
            return True
    return False


def _assembled(found: CDLL, words: Words, settings: BpeSettings, size: int) -> Tokenizer:
    from tokenizers import Tokenizer, models

    first = len(SPECIAL_TOKENS)
    merges = learn_merges(found, words, first, size, settings.min_frequency, settings.longest_token)
    tokens = [*SPECIAL_TOKENS, *sorted(byte_alphabet())]
    ids = {token: index for index, token in enumerate(tokens)}
    named: list[tuple[str, str]] = []
    for left, right in merges:
        named.append((tokens[left], tokens[right]))
        made = "".join(named[-1])
        if made not in ids:
            ids[made] = len(tokens)
            tokens.append(made)
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=named))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return _framed(tokenizer, settings)


def train_by_tokenizers(texts: Collection[str], settings: BpeSettings, size: int) -> Tokenizer:
    """Train with `tokenizers` alone, which needs no compiler."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    short = pre_tokenizers.FixedLength(LONGEST_WORD)
    split = _split(settings.digits)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, short, as_bytes])
    tokenizer.train_from_iterator(texts, _trainer(settings, size), len(texts))
    return _framed(tokenizer, settings)


def _framed(tokenizer: Tokenizer, settings: BpeSettings) -> Tokenizer:
    """With all that stands around the merges: how texts are split, and how tokens are joined."""
    from tokenizers import decoders, pre_tokenizers, processors

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([_split(settings.digits), as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    # Adds no token; it keeps character offsets those of the text, spaces included.
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False)
    return tokenizer
