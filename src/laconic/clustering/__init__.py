"""Weighted k-means on the line: the codebook that `K` shared values do best with.

    min over c, κ   Σ_i h_i (w_i − c_κ(i))²,   κ(i) in range(K)

On a line the clusters of an optimum are intervals, so that dynamic programming finds it (Wu & Rokne 1989).
"""

from laconic.clustering.cells import fast
from laconic.clustering.cluster import cluster
from laconic.clustering.dynamic import exact
from laconic.clustering.nearest import nearest
from laconic.clustering.trimmed import trimmed

__all__ = ["cluster", "exact", "fast", "nearest", "trimmed"]
