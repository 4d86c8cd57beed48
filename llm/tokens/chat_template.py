"""The chat template: ChatML, with the assistant's turns marked for the loss.

`{% generation %}` surrounds what the model has to produce, its content and the token that ends
its turn; transformers' `return_assistant_tokens_mask` and TRL's `assistant_only_loss` read it.
Jinja as transformers sets it up drops the newline after a block, so newlines of the format are
written as expressions. A rendered conversation starts with the rendering of each of its prefixes:
the prompt's tokens are those at the front of prompt and answer together.
"""

from __future__ import annotations

CHAT_TEMPLATE = (
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}\n"
    "{%- if message['role'] == 'assistant' -%}\n"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}\n"
    "{%- else -%}\n"
    "{{- message['content'] + '<|im_end|>' -}}\n"
    "{%- endif -%}\n"
    "{{- '\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}\n"
)
