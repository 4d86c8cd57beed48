"""Canonical JSON and the hashes built on it: the one definition of "the same".

Two values are the same exactly when their canonical JSON is equal. Keys are
sorted, floats keep Python's shortest round-trip form, and an int-valued float
stays a float (`1.0` and `1` differ, as they do in a config). Anything whose
JSON form is a matter of opinion (a set, a date, an object) raises instead of
being guessed at: a silent `str()` is how cache keys come to depend on the
process that computed them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.engine.errors import CanonicalJsonError

# What needs no second look; lists are long where a corpus has many files.
_PLAIN = frozenset({str, int, bool, type(None)})


def _check(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    # Exact types: a subclass (numpy scalar, IntEnum) may print as something else.
    if type(value) is int:
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise CanonicalJsonError(f"{where}: {value!r} has no JSON form; use a finite number")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise CanonicalJsonError(
                    f"{where}: key {key!r} is a {type(key).__name__}; JSON keys are strings"
                )
        return {key: _check(value[key], f"{where}.{key}") for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [
            item if type(item) in _PLAIN else _check(item, f"{where}[{index}]")
            for index, item in enumerate(value)
        ]
    raise CanonicalJsonError(
        f"{where}: a {type(value).__name__} has no canonical JSON form; "
        "convert it to str, int, float, bool, None, list or dict first"
    )


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`.

    Raises:
        CanonicalJsonError: for a type JSON does not know, a non-string key, NaN or infinity.
    """
    return json.dumps(
        _check(value, "$"), ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of `value`, 64 characters."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def build_id(stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Identity of "this stage, so configured, on these inputs", known before it runs.

    Args:
        config: the config's identity fields alone (`StageConfig.identity()`).
        inputs: data_id of the output (or external snapshot) read under each input name.
    """
    return sha256_json(
        {"stage": stage, "version": version, "config": config, "inputs": dict(inputs)}
    )


def data_id(files: Iterable[tuple[str, int | None, str]]) -> str:
    """Identity of an output's content: the SHA-256 over its sorted (path, rows, sha256)."""
    return sha256_json(sorted([path, rows, digest] for path, rows, digest in files))


def shard_id(
    stage: str,
    version: int,
    function: str,
    unit: Mapping[str, str],
    side: Mapping[str, str],
    arguments: Mapping[str, Any],
) -> str:
    """Identity of one shard's work: equal ids mean equal bytes, in whatever attempt.

    What the shard function is given enters, and nothing else: of the stage's config only what is
    among its arguments, so that a setting of another part of the stage leaves it as it is.

    Args:
        function: name of the shard function, `module:qualname`.
        unit: name and sha256 of the input part (or external file) the shard reads.
        side: data_id of each input every shard reads in full (a model, a cluster table).
        arguments: what the stage passes to the shard function.
    """
    return sha256_json(
        {
            "stage": stage,
            "version": version,
            "function": function,
            "unit": dict(unit),
            "side": dict(side),
            "arguments": dict(arguments),
        }
    )
