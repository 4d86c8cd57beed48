"""Every way the engine can refuse to go on, one class per cause.

Each message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations

from llm.errors import ExpectedError


class IngotError(ExpectedError):
    """Root of what the engine, stages and commands raise: no second try of a shard mends it."""


class CanonicalJsonError(IngotError):
    """A value that has no canonical JSON form was about to enter an identity."""


class RecipeError(IngotError):
    """A recipe cannot be read or does not validate; names the file, the field and the fix."""


class ExternalInputError(IngotError):
    """A file, glob or distribution named by a config does not exist, is empty or is ambiguous."""


class MissingInputError(IngotError):
    """A stage's input has not been built; names the command that builds it."""


class StoreError(IngotError):
    """The artifact store cannot do what the engine needs of it."""


class StoreFullError(StoreError):
    """No space is left where artifacts are written; nothing was published."""


class ReadOnlyStoreError(StoreError):
    """The store can be read and not written, by this user at least."""


class DamagedArtifactError(IngotError):
    """A published file is missing or its bytes do not match the manifest."""


class LeaseLostError(IngotError):
    """Another run took over this recipe; this one must not publish."""


class ConservationError(IngotError):
    """Rows in do not equal rows kept + removed + rejected, or ids do not match."""


class OutputError(IngotError):
    """A stage wrote an output it does not declare, or with columns other than declared."""


class ShardError(IngotError):
    """More shards of a stage failed than its config allows; names each with its cause."""


class ClusterError(IngotError):
    """A cluster is not there, not reachable, or its workers have another Ingot than the run."""


class TrainerError(IngotError):
    """A launched trainer process ended with an error; carries what it said."""


class StalledError(IngotError):
    """Work in a process of its own took far longer than it can; says what, and after how long."""


class CodeDriftError(IngotError):
    """The code a stage reaches changed under an unchanged version and the policy is `fail`."""


class CancelledError(IngotError):
    """The run was cancelled; finished shards and checkpoints are kept for the next one."""
