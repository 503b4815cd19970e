"""The model of a grid: the tables of its levels, each as the biases of its symbols and their total."""

from itertools import accumulate, count


def size(m):
    """Return the smallest magnitude of size m, and its number of raw bits."""
    return ((4 + m % 4) << m // 4 - 2, m // 4 - 2) if m >= 16 else (m, 0)


def told(source):
    """Return a signed exponential Golomb code of order 2."""
    k = next(k for k in count() if not source.bits(1))
    folded = (1 << k + 2) + source.bits(k + 2) - 4
    return (folded + 1) // 2 if folded % 2 else -folded // 2


def shaped(m, c, s, q):
    """Return the cost of size m by the shape of all costs."""
    low, raw = size(m)
    a = 2 * low + (1 << raw) - 1 - 2
    return min(max(c + ((128 * s * a + q * a * a // 4 + (1 << 15)) >> 16) - 8 * raw, 0), 127)


def costs_of(source):
    """Return the costs of a table; one that is not used is like one of size 0 alone."""
    number = source.bits(8)
    if number < 2:
        return [0]
    has_shape, first = source.bits(1), source.bits(7)
    if has_shape:
        shape = source.bits(7), source.bits(16), source.bits(16)
        return [first] + [shaped(m, *shape) for m in range(1, number)]
    return list(accumulate((told(source) for _ in range(1, number)), initial=first))
