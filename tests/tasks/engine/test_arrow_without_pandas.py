"""Arrow does not bring pandas along, and is not worse for it."""

from __future__ import annotations

import os
import subprocess
import sys

_PROGRAM = """
import sys
import tasks.engine.shards.parts
import pyarrow as pa
table = pa.table({"a": ["x", "y", "x"], "n": [1, None, 3]})
table.column("n").to_numpy()
counted = table.group_by("a", use_threads=False).aggregate([("n", "sum")]).to_pylist()
assert counted == [{"a": "x", "n_sum": 4}, {"a": "y", "n_sum": None}], counted
assert pa.array([1.0, float("nan")], from_pandas=True).null_count == 1
print("pandas" in sys.modules)
frame = table.to_pandas()
import pandas
assert isinstance(frame, pandas.DataFrame)
assert pa.array(frame["a"]).to_pylist() == ["x", "y", "x"]
assert pa.Table.from_pandas(frame).num_rows == 3
"""


def test_pandas_comes_when_it_is_asked_for_and_not_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "False\n"
