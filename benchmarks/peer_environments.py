"""Environments of their own for peers whose pins clash with Ingot's."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment that has exactly these requirements, made if need be.

    It lies in the Python environment this runs in, and a change of the requirements makes another.
    """
    wanted = "\n".join((sys.version, *requirements))
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    folder = Path(sys.prefix) / "share" / "ingot-peers" / f"{name}-{digest}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.is_file():
        print(f"making an environment for {name}: {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *requirements], check=True)
        ready.touch()
    return python
