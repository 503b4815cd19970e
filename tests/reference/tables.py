"""Tables of levels and of pairs of levels, each as the biases of its symbols and their total."""

from itertools import accumulate, pairwise


def single(costs, odd):
    """Return the table of costs; size 0 has two symbols among odd levels, else one."""
    weights = [round(2 ** (24 - c % 8 / 8)) >> c // 8 for c in costs]
    whole = 2 * sum(weights) - (0 if odd else weights[0])
    shares = [max(1, (4096 * w + whole // 2) // whole) for w in weights[1:] for _ in range(2)]
    left = 4096 - sum(shares)
    return list(accumulate([left // 2, left // 2, *shares] if odd else [left, *shares], initial=0))


def paired(biases):
    """Return the table of pairs that follows from the one of a class, or nothing if it has none."""
    near = [end - bias for bias, end in pairwise((biases + [4096] * 15)[:16])]
    if sum(near) < 4064:
        return []
    found = [max(1, (f * g + 2048) >> 12) if f * g else 0 for f in near for g in near] + [0] * 30
    found.append(max(1, 4096 - ((sum(near) ** 2 + 2048) >> 12)))
    while excess := sum(found) - 4096:  # what is lacking at once, what is too much one by one
        found[found.index(max(found[:225]))] -= min(excess, 1)
    return list(accumulate(found, initial=0))
