"""Peers whose pins clash with Ingot's: each in a virtual environment of its own, made by pip."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path


def peer_python(name: str, packages: Sequence[str]) -> Path:
    """The Python of an environment that has those packages; made below the running one's prefix,
    and found there the next time.

    Args:
        packages: as pip takes them, with versions.

    Raises:
        subprocess.CalledProcessError: pip could not install them; it has said why.
    """
    wanted = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:10]
    folder = Path(sys.prefix) / "peers" / f"{name}-{wanted}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        done.touch()
    return python
