"""Tag 5: entries of codebooks, times the scale of their group."""

import numpy as np


def grouped(shape, dtype, facts, codebook, scales, indices):
    """The entry of each index, of its group's codebook where each has its own, times its group's scale."""
    length, own = facts
    groups, found = -(-len(indices) // length) if length else 1, []
    for i, index in enumerate(indices):
        group = i // length if length else 0
        entry = np.float64(codebook[index + group * (len(codebook) // groups) * own])
        found.append(entry * np.float64(scales[group]) if len(scales) else entry)
    return np.array(found, np.float64)
