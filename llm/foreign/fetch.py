"""`python -m llm.foreign.fetch ORGANISATION/MODEL REVISION`: a model of the hub into its cache.

Tells its folder, or why there is none, as one line of JSON.
"""

from __future__ import annotations

import json
import sys

# What transformers reads; other copies of the weights are left where they are.
_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt"]


def main(arguments: list[str]) -> int:
    """Fetch; the exit code."""
    repository, revision = arguments
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    reply = {}
    try:
        reply["folder"] = snapshot_download(
            repository, revision=revision, allow_patterns=_FILES, ignore_patterns=["*/*"]
        )
    except GatedRepoError:
        reply["error"] = "its owner asks for an agreement; accept it there, and set HF_TOKEN"
    except RevisionNotFoundError:
        reply["error"] = f"the hub has the model, and no revision {revision!r} of it"
    except RepositoryNotFoundError:
        reply["error"] = "the hub has no such model (or it is private: set HF_TOKEN)"
    except HFValidationError as error:
        reply["error"] = f"it is no id of a model: {error}"
    except LocalEntryNotFoundError:
        reply["error"] = "the hub cannot be reached: there is no network"
    except (HfHubHTTPError, OSError) as error:
        reply["error"] = str(error).strip().partition("\n")[0]
    print(json.dumps(reply))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
