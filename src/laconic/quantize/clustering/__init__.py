"""Weighted k-means on the line: the codebook that `K` shared values do best with.

    min over c, κ   Σ_i h_i (w_i − c_κ(i))²,   κ(i) in range(K)

On a line the clusters of an optimum are intervals, so that dynamic programming finds it (Wu & Rokne 1989).
"""

from laconic.quantize.clustering.cells import fast
from laconic.quantize.clustering.cluster import cluster
from laconic.quantize.clustering.dynamic import exact
from laconic.quantize.clustering.grouped import cluster_groups
from laconic.quantize.clustering.nearest import nearest, nearest_in_groups
from laconic.quantize.clustering.pruned import survivors
from laconic.quantize.clustering.quartic import quartic_clusters
from laconic.quantize.clustering.scale import best_scale, group_scales
from laconic.quantize.clustering.starts import lloyd_from
from laconic.quantize.clustering.trimmed import trimmed
from laconic.quantize.clustering.trimmed_scale import trimmed_sets

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
    "survivors",
    "trimmed",
    "trimmed_sets",
]
