"""The key of a judge out of a Prefect Secret block."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.blocks.system import Secret
from pydantic import ValidationError

from tasks import runner
from tasks.engine.store.store import Store
from tasks.stages.judge import JudgeConfig

VARIABLE = "INGOT_TEST_KEY_OF_A_BLOCK"


def order(**fields: Any) -> Any:
    config = JudgeConfig(key_variable=VARIABLE, **fields)
    return SimpleNamespace(stage=SimpleNamespace(name="judge"), build_id="0" * 64, config=config)


def test_it_is_in_the_environment_while_the_stage_runs(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Secret(value="sk-of-a-block").save("judge-key", overwrite=True)
    store = Store(str(tmp_path))
    asked = order(key_block="judge-key")
    monkeypatch.delenv(VARIABLE, raising=False)
    with runner.key_from_block(asked, store, force=False):
        assert os.environ[VARIABLE] == "sk-of-a-block"
    assert VARIABLE not in os.environ
    assert "sk-of-a-block" not in asked.config.model_dump_json()
    monkeypatch.setenv(VARIABLE, "what was there")
    with pytest.raises(KeyError), runner.key_from_block(asked, store, force=False):
        raise KeyError
    assert os.environ[VARIABLE] == "what was there"


def test_a_block_that_is_not_there(prefect_server: None, tmp_path: Path) -> None:
    missing = pytest.raises(
        runner.SecretBlockError, match=rf"judge\.key_block: .*'no-such-block'.*{VARIABLE}"
    )
    with (
        missing,
        runner.key_from_block(order(key_block="no-such-block"), Store(str(tmp_path)), False),
    ):
        pytest.fail("the stage must not run")


def test_a_block_needs_a_variable() -> None:
    with pytest.raises(ValidationError, match="key_block sets the variable that key_variable"):
        JudgeConfig(key_block="judge-key")
