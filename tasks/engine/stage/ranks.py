"""The processes of one trainer, and the command lines that start them."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

# How PyTorch words that time was up and machines were missing.
_MISSING = "clients joined"


@dataclass(frozen=True)
class Ranks:
    """How many they are, and how they find each other.

    Attributes:
        processes: on each node; started by torchrun where there are several.
        nodes: machines. This one is the first.
        rendezvous: host:port, of this machine, that the others reach; for several nodes.
        seconds: that nodes wait for each other.
    """

    processes: int = 1
    nodes: int = 1
    rendezvous: str = ""
    seconds: float = 300.0

    def command(self, module: str, run_file: Path) -> list[str]:
        """What to start on this machine."""
        if self.nodes > 1:
            return [sys.executable, "-P", *self._node(0), "-m", module, str(run_file)]
        if self.processes > 1:
            torchrun = ["torch.distributed.run", "--standalone"]
            count = f"--nproc-per-node={self.processes}"
            return [sys.executable, "-P", "-m", *torchrun, count, "-m", module, str(run_file)]
        return [sys.executable, "-P", "-u", "-m", module, str(run_file)]

    def other_commands(self, module: str, run_file: Path) -> list[str]:
        """What a person is to start on each of the other machines; shell commands."""
        return [
            shlex.join(["python", *self._node(number), "-m", module, str(run_file)])
            for number in range(1, self.nodes)
        ]

    def fault(self, log: str) -> str:
        """What the end of torchrun's log says of missing nodes; empty = nothing."""
        if self.nodes == 1 or _MISSING not in log:
            return ""
        return (
            f"of {self.nodes} nodes not all came to {self.rendezvous} within {self.seconds:g} s: "
            "the others are started by the commands that were shown; they need the folder of the "
            "run file, and this address with a port no firewall closes"
        )

    def _node(self, number: int) -> list[str]:
        host, _, port = self.rendezvous.rpartition(":")
        return [
            "-m",
            "torch.distributed.run",
            f"--nnodes={self.nodes}",
            f"--node-rank={number}",
            f"--nproc-per-node={self.processes}",
            f"--master-addr={host}",
            f"--master-port={port}",
            f"--rdzv-conf=timeout={round(self.seconds) or 1}",
        ]
