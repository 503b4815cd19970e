"""Tag 12: integers in words."""

import numpy as np


def packed(shape, dtype, facts, integers):
    """Words of so many integers, line by line."""
    bits, span, axis, order, turned = facts
    width = 8 * dtype.itemsize
    places = span * width // bits
    numbers = sorted(range(places), key=lambda n: (n % 2, n)) if order else range(places)
    lines, line = (shape if axis else shape[::-1])[0], shape[axis] // span * places
    table = np.array(integers).reshape((line, lines) if turned else (lines, line))
    found = np.zeros((lines, shape[axis]), f"u{dtype.itemsize}")
    for i, row in enumerate(table.T if turned else table):
        for at in range(line // places):
            whole = sum(int(row[at * places + n]) << bits * k for k, n in enumerate(numbers))
            found[i, at * span : (at + 1) * span] = [whole >> width * w & (1 << width) - 1 for w in range(span)]
    return (found if axis else found.T.copy()).view(dtype)
