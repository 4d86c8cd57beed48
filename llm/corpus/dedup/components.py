"""Connected components of a graph of pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Python joins so many in the time that SciPy's graphs take to be imported.
_FEW = 20_000


def components(nodes: int, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The smallest node of each node's component, `(nodes,)` int64.

    Args:
        pairs: `(pairs, 2)` undirected edges between 0 … nodes - 1.
    """
    if not nodes:
        return np.empty(0, dtype=np.int64)
    if len(pairs) <= _FEW:
        forest = DisjointSets(np.arange(nodes, dtype=np.int64))
        for one, other in pairs.tolist():
            forest.join(one, other)
        return forest.roots(np.arange(nodes, dtype=np.int64))
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array(
        (np.ones(len(pairs), dtype=np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(nodes, nodes)
    )
    _, labels = connected_components(edges, directed=False)
    smallest = np.unique(labels, return_index=True)[1]
    result: npt.NDArray[np.int64] = smallest[labels].astype(np.int64)
    return result


class DisjointSets:
    """Components that grow: a disjoint-set forest over nodes whose root is the smallest.

    Tarjan 1975, "Efficiency of a good but not linear set union algorithm"; path halving.
    """

    def __init__(self, roots: npt.NDArray[np.int64]) -> None:
        self._parent = roots.copy()

    def root(self, node: int) -> int:
        """Smallest node of the component."""
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    def roots(self, nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """`root` of each, `(nodes,)`."""
        above = self._parent[nodes]
        while True:
            higher = self._parent[above]
            if np.array_equal(higher, above):
                self._parent[nodes] = above
                return above
            above = higher

    def join(self, one: int, other: int) -> bool:
        """Make one component of two; false if they were one already."""
        first, second = self.root(one), self.root(other)
        self._parent[max(first, second)] = min(first, second)
        return first != second
