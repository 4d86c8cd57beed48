"""What a search for a mixture is told: run.json as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from llm.process.run_file import from_record, read_record
from llm.training.mixture import Phase, Share
from llm.training.run_file import Run


@dataclass(frozen=True)
class Domain:
    """What is measured on: held-out documents of a source.

    Attributes:
        digest: of those documents; what was measured on others is another figure.
    """

    name: str
    digest: str


@dataclass(frozen=True)
class Proxy:
    """A small training run.

    Attributes:
        name: the digest of all that decides its weights.
        shares: what sources give to each batch.
    """

    name: str
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Search:
    """All proxies of a search.

    Attributes:
        training: of one, but for its mixture and for folders of its own below `paths.scratch`.
        held_out: Parquet file with domain, tokens (without end of text) and bytes a document.
        eval_batch_tokens: most tokens of a batch where proxies are measured.
        at_once: proxies trained at a time; 0 = one a core, on a GPU one.
        kept: the folder with finished proxies, by name; what is there is not trained again.
        results: JSON file for what they came to.
    """

    training: Run
    proxies: tuple[Proxy, ...]
    domains: tuple[Domain, ...]
    held_out: Path
    eval_batch_tokens: int
    at_once: int
    kept: Path
    results: Path

    def run_of(self, proxy: Proxy) -> Run:
        """The training of one of them."""
        paths = self.training.paths
        scratch = Path(paths.scratch) / proxy.name
        own = replace(
            paths,
            scratch=str(scratch),
            model=str(scratch / "proxy" / "model"),
            metrics=str(scratch / "proxy" / "metrics.parquet"),
            result=str(scratch / "proxy" / "result.json"),
        )
        phases = (Phase(self.training.optimisation.steps, proxy.shares),)
        return replace(self.training, paths=own, phases=phases)


def read(path: Path) -> Search:
    """Parse a run file.

    Raises:
        RunFileError: it cannot be read, or a field is missing, unknown or of the wrong type.
    """
    return from_record(Search, read_record(path), str(path))
