"""The special tokens every Ingot tokenizer has, and what each is for.

They come first in the vocabulary, so their ids are the same whatever its size. Padding has a
token of its own: where it is also the end of text, the end of text is masked out of the loss
with the padding and never learned.
"""

from __future__ import annotations

END_OF_TEXT = "<|endoftext|>"  # behind every document; where a base model stops
TURN_START = "<|im_start|>"  # ChatML: begins a turn, followed by the role and a newline
TURN_END = "<|im_end|>"  # ChatML: ends a turn; where a chat model stops
PAD = "<|pad|>"  # fills rows up; never in a loss, never in a document

SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END, PAD)
