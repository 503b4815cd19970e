"""Weighted k-means on the line: the codebook that `K` shared values do best with.

    min over c, κ   Σ_i h_i (w_i − c_κ(i))²,   κ(i) in range(K)

On a line the clusters of an optimum are intervals, so that dynamic programming finds it (Wu & Rokne 1989).
"""

from laconic.clustering.cells import fast
from laconic.clustering.cluster import cluster
from laconic.clustering.dynamic import exact
from laconic.clustering.groups import cluster_groups
from laconic.clustering.nearest import nearest, nearest_in_groups
from laconic.clustering.quartic import quartic_clusters
from laconic.clustering.scale import best_scale, group_scales
from laconic.clustering.starts import lloyd_from
from laconic.clustering.trimmed import trimmed

__all__ = [
    "best_scale",
    "cluster",
    "cluster_groups",
    "exact",
    "fast",
    "group_scales",
    "lloyd_from",
    "nearest",
    "nearest_in_groups",
    "quartic_clusters",
    "trimmed",
]
