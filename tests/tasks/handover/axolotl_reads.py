"""What Axolotl makes of a folder, by its own code; a line of JSON. It runs where only the pure
part of Axolotl is installed: schema, templates and tokenising."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from axolotl.prompt_strategies.chat_template import load
from axolotl.prompt_strategies.dpo.chat_template import default
from axolotl.utils.dict import DictDefault
from axolotl.utils.schemas.config import AxolotlInputConfig
from transformers import AutoTokenizer


def main() -> None:
    given = yaml.safe_load(Path("axolotl.yaml").read_text())
    config = DictDefault(AxolotlInputConfig(**given).model_dump(exclude_none=True))
    tokenizer = AutoTokenizer.from_pretrained(given["base_model"])
    lines = Path("train.jsonl").read_text().splitlines()
    rows = []
    if "rl" in given:
        render, _ = default(config)
        for line in lines:
            texts = render(json.loads(line), tokenizer=tokenizer)
            rows.append({name: tokenizer(text)["input_ids"] for name, text in texts.items()})
    else:
        strategy = load(tokenizer, config, ds_cfg=config["datasets"][0])
        for line in lines:
            row = strategy.tokenize_prompt(json.loads(line))
            rows.append({name: row[name] for name in ("input_ids", "labels")})
    unknown = sorted(set(given) - set(AxolotlInputConfig.model_fields))
    sys.stdout.write(json.dumps({"unknown": unknown, "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
