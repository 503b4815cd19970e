"""Tag 7: what is kept of the tiles of a matrix."""

import math

import numpy as np


def tiles(shape, dtype, facts, mask, values):
    """The next value where the symbol of a weight's tile keeps it, else 0."""
    rows, columns = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
    (r, c, patterns), kept, out = facts, iter(values.reshape(-1)), np.zeros((rows, columns), dtype)
    for i in range(rows):
        for j in range(columns):
            symbol = int(mask[i // r * -(-columns // c) + j // c])
            if symbol >> (i % r * c + j % c if patterns else 0) & 1:
                out[i, j] = next(kept)
    return out
