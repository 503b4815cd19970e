"""The classes of a grid's weights, and their levels from its payload."""

import math
from itertools import islice, product

from reference.lac import lanes
from reference.model import size

TRELLISES = {0: (0, 0), 2: (0o5, 0o2), 3: (0o13, 0o4), 4: (0o23, 0o4), 5: (0o45, 0o10), 6: (0o103, 0o24)}


def classes_of(shape, mode, scales, number):
    """Return the class of each weight; ``scales`` gives the symbols of rows, columns and positions."""
    if 0 in shape:  # beside an axis that may be of any length
        return []
    axes = (*shape[:2], math.prod(shape[2:])) if len(shape) > 1 else (1, 1, math.prod(shape))
    none = (next(scales, 0) if mode % 2 == 0 else 0, 0, 0)
    own = [list(islice(scales, n)) if mode >> k & 1 else [none[k]] * n for k, n in enumerate(axes)]
    return [min(max(row - column - position, 0), number - 1) for row, column, position in product(*own)]


def level(y, odd, nu, symbol):
    """Return the level of the symbol y and the raw bits after it."""
    m, negative = divmod(y + 1 - odd, 2)
    low, raw = size(m)
    u = low + sum(symbol(range((1 << min(raw - at, 16)) + 1)) << at for at in range(0, raw, 16))
    magnitude = 2 * u + odd if nu else u
    return -magnitude if negative else magnitude


def levels(payload, counts, nu, tables, pairs):
    """Return the levels, class by class; ``counts`` says how many each class has."""
    units = [c for c, n in enumerate(counts) for _ in range(0, n, 2 if pairs[c] else 1)]
    number = 1 << len(units).bit_length() - 13 if len(units) >> 15 else min(len(units), 1)
    found, states, (h0, h1) = [[] for _ in counts], [0] * number, TRELLISES[nu]
    for c, (lane, symbol) in zip(units, lanes(payload, number, len(units)), strict=True):
        odd, pair = states[lane] & 1, symbol(pairs[c]) if pairs[c] else 255
        # One by one: the raw bits of a level come before the next symbol.
        apart = (symbol(tables[c][odd]) for _ in range(2 if pairs[c] else 1))
        found[c] += [level(y, odd, nu, symbol) for y in (apart if pair == 255 else divmod(pair, 15))]
        states[lane] = states[lane] >> 1 ^ odd * (h0 >> 1) ^ (found[c][-1] >> 1 & 1) * (h1 >> 1)
    return [v for n, own in zip(counts, found, strict=True) for v in own[:n]]
