"""Tags 10 and 11: values that a hash of the position chooses, and vectors that a seed gives."""

import numpy as np


def mixed(x):
    """Return H(x), of integers as long as they have to be."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def hashed(shape, dtype, facts, values):
    """The value of each weight's group."""
    count = int(np.prod(shape))
    highs = [mixed(((facts[0] << 32) + i) % 2**64) >> 32 for i in range(count)]
    return values[[high * len(values) >> 32 for high in highs]] if count else values[:0]


def drawn(shape, dtype, facts, scale, indices):
    """The scale times sums of eight 16-bit integers, block by block of the seeded order."""
    (seed, length), count = facts, int(np.prod(shape))
    found, start = np.zeros(count), mixed(seed + 2**32)
    order = sorted(range(count), key=lambda i: (mixed((mixed(seed) + i) % 2**64), i))
    for place, i in enumerate(order):
        c = int(indices[place // length]) * length + place % length
        pair = [mixed((start + 2 * c + k) % 2**64) for k in (0, 1)]
        found[i] = sum(x >> shift & 0xFFFF for x in pair for shift in (0, 16, 32, 48)) - 262140
    return found * scale.astype(np.float64)
