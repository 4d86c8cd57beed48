"""A model of another program, laid out as a model folder of Ingot is.

What a folder of Ingot says and others may not: which tokenizer the model was trained with, where
generation ends, and which token fills rows up. The weights are the same files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from llm.errors import ExpectedError
from llm.model.config_file import ModelFolderError, TokenizerMismatchError, tokenizer_digest
from llm.model.weight_files import weight_files
from llm.tokens import hf_folder
from llm.tokens.chat import ChatEncoder, PadTokenError

CONFIG, GENERATION = "config.json", "generation_config.json"
_TOKENIZER, _TOKENIZER_CONFIG, _TEMPLATE, _SPECIALS = hf_folder.FILES
# What older configs leave to their class, and ours reads from the file.
_FILLED = (
    "vocab_size",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_parameters",
    "tie_word_embeddings",
)
_RULES = ("normalizer", "pre_tokenizer", "decoder")
_ASKED = [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "Four."}]


class NoChatTemplateError(ExpectedError, ValueError):
    """A model has no chat template, and none is given."""


class UnloadableTokenizerError(ModelFolderError):
    """A folder's tokenizer cannot be loaded, or not used as every tokenizer here is."""


class TokenizerSizeError(ModelFolderError):
    """A tokenizer makes ids for which the model beside it has no rows."""


def bring(source: Path, target: Path, template: Path | None) -> None:
    """Lay a folder that `save_pretrained` wrote out as one of Ingot.

    Args:
        target: replaced where it exists. Its weights are links to those of the source.
        template: Jinja; in place of the model's own chat template.

    Raises:
        ModelFolderError: a file is missing or cannot be read; UnloadableTokenizerError and
            TokenizerSizeError are such errors.
        TokenizerMismatchError: the folder says it was trained with another tokenizer.
        NoChatTemplateError: it has none, and none is given.
        TemplateError: what is given does not fit.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in weight_files(source):
        (target / path.name).symlink_to(path.resolve())
    config = _config(source)
    tokenizer = _tokenizer(source, target, template)
    trained, digest = config.get("tokenizer_sha256"), tokenizer_digest(target)
    if isinstance(trained, str) and trained != tokenizer_digest(source):
        raise TokenizerMismatchError(
            f"the model in {source} was trained with tokenizer {trained[:12]}, and beside it lies "
            f"{tokenizer_digest(source)[:12]}: its ids would mean other tokens. Put the files of "
            "its own tokenizer beside the model"
        )
    _check_sizes(source, config, tokenizer)
    _write(target / CONFIG, config | {"tokenizer_sha256": digest})
    generation = _record(source / GENERATION) if (source / GENERATION).is_file() else {}
    _write(target / GENERATION, {**generation, "eos_token_id": _ends(generation, config)})
    chat = _encoder(target, tokenizer)
    _check_pieces(source, tokenizer, chat)
    _write(target / CONFIG, config | {"tokenizer_sha256": digest, "pad_token_id": chat.pad})
    stops = {"eos_token_id": list(chat.stops), "pad_token_id": chat.pad}
    _write(target / GENERATION, {**generation, **stops})


def _tokenizer(source: Path, target: Path, template: Path | None) -> Any:
    """Write the four files of the tokenizer; returns transformers' own."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        found: Any = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise UnloadableTokenizerError(
            f"{source}: transformers does not load its tokenizer: {_first_line(error)}; its files "
            f"({_TOKENIZER}, {_TOKENIZER_CONFIG}) belong beside the model"
        ) from error
    if not isinstance(found, PreTrainedTokenizerFast):
        raise UnloadableTokenizerError(
            f"{source}: its tokenizer, {type(found).__name__}, has no fast form; save one with "
            f"{_TOKENIZER} beside the model"
        )
    if _is_what_transformers_takes(source / _TOKENIZER, found):
        # Byte for byte: its digest is the tokenizer's identity.
        shutil.copyfile(source / _TOKENIZER, target / _TOKENIZER)
    else:
        found.backend_tokenizer.save(str(target / _TOKENIZER))
    said = template.read_text(encoding="utf-8") if template else found.chat_template
    if isinstance(said, dict):
        said = said.get("default")
    if not said:
        raise NoChatTemplateError(
            f"{source}: the model has no chat template, so nothing says how its turns look; give "
            "one as sft.chat_template, a Jinja file (docs/stages/sft.md has one for such models)"
        )
    (target / _TEMPLATE).write_text(said, encoding="utf-8")
    config = _record(source / _TOKENIZER_CONFIG) if (source / _TOKENIZER_CONFIG).is_file() else {}
    config.pop("chat_template", None)
    specials = {
        name: str(getattr(found, name))
        for name in ("bos_token", "eos_token", "unk_token", "pad_token")
        if getattr(found, name) is not None
    }
    # As in `hf_folder`: tokenizer.json alone says what the tokenizer does, in every version.
    specials |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    _write(target / _TOKENIZER_CONFIG, config | specials)
    del specials["tokenizer_class"]
    _write(target / _SPECIALS, specials)
    return found


def _is_what_transformers_takes(path: Path, found: Any) -> bool:
    """Whether a file is there and says what transformers' tokenizer does; of some architectures it
    has a class of its own, which adds a normaliser."""
    if not path.is_file():
        return False
    from tokenizers import Tokenizer

    texts = Tokenizer.from_file(str(path)).to_str(), found.backend_tokenizer.to_str()
    ours, theirs = (json.loads(text) for text in texts)
    return all(ours.get(name) == theirs.get(name) for name in (*_RULES, "added_tokens"))


def _encoder(folder: Path, tokenizer: Any) -> ChatEncoder:
    """Of the folder, whose padding is then a token that ends no turn."""
    try:
        return ChatEncoder(folder)
    except PadTokenError as error:
        end = error.end
        specials = [tokenizer.unk_token_id, *sorted(tokenizer.all_special_ids)]
        others = (token for token in [*specials, *range(len(tokenizer))] if token is not None)
        pad = next(token for token in others if token != end)
        for name in (_TOKENIZER_CONFIG, _SPECIALS):
            record = _record(folder / name)
            record.pop("pad_token", None)
            _write(folder / name, record)
        _write(folder / CONFIG, _record(folder / CONFIG) | {"pad_token_id": pad})
        return ChatEncoder(folder)


def _check_sizes(source: Path, config: dict[str, Any], tokenizer: Any) -> None:
    rows, ids = config.get("vocab_size"), max(tokenizer.get_vocab().values()) + 1
    if isinstance(rows, int) and ids > rows:
        raise TokenizerSizeError(
            f"{source}: its tokenizer makes ids up to {ids - 1}, and the model has {rows} rows "
            "(vocab_size); take the tokenizer the model was trained with, or give the model rows "
            "for what was added (resize_token_embeddings)"
        )


def _check_pieces(source: Path, tokenizer: Any, chat: ChatEncoder) -> None:
    """Make sure that a conversation has the same tokens here as transformers gives it."""
    asked = chat.render(_ASKED)
    theirs = list(tokenizer(asked.prompt, add_special_tokens=False)["input_ids"])
    if theirs != asked.prompt_ids:
        raise UnloadableTokenizerError(
            f"{source}: its tokenizer reads a text otherwise alone than within a conversation: "
            f"{tokenizer.decode(theirs)!r}, and {chat.decode(asked.prompt_ids)!r} in pieces; a "
            "model with such a tokenizer cannot be tuned here"
        )


def _config(source: Path) -> dict[str, Any]:
    """Fields of config.json, with sizes that transformers fills in where they are not told."""
    from transformers import AutoConfig

    told = _record(source / CONFIG)
    try:
        whole = AutoConfig.from_pretrained(str(source), local_files_only=True).to_dict()
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelFolderError(
            f"{source / CONFIG}: transformers knows no such model: {_first_line(error)}"
        ) from error
    filled = {name: whole[name] for name in _FILLED if whole.get(name) is not None}
    return {**filled, **told}


def _ends(generation: dict[str, Any], config: dict[str, Any]) -> list[int]:
    """Ids at which the model is said to stop."""
    found = generation.get("eos_token_id", config.get("eos_token_id"))
    return list(found) if isinstance(found, list) else [] if found is None else [found]


def _record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path}: no readable JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelFolderError(f"{path}: a {type(found).__name__}, expected an object of fields")
    return found


def _write(path: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
