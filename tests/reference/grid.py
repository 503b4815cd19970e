"""The grid code of docs/format.md, for the reader beside it."""

import math

import numpy as np
from reference import lac

WEIGHTS = [round(2 ** (24 - k / 8)) for k in range(8)]


def raw_bits(m):
    return (m - 16) // 4 + 2 if m >= 16 else 0


def shaped(count, first, c1, slope, curvature):
    costs = [first]
    for m in range(1, count):
        low = (4 + (m - 16) % 4) << raw_bits(m) if m >= 16 else m
        centre = 2 * low + (1 << raw_bits(m)) - 1 - 2  # twice (a - 1)
        scaled = 128 * slope * centre + (curvature * centre * centre >> 2) + (1 << 15)
        costs.append(min(max(c1 + (scaled >> 16) - 8 * raw_bits(m), 0), 127))
    return costs


def table(source, odd):
    """Return the frequencies of one class and parity."""
    count = source.bits(8)
    costs = [0] * min(count, 1)
    if count > 1:
        is_shaped, costs = source.bits(1), [source.bits(7)]
        if is_shaped:
            costs = shaped(count, costs[0], source.bits(7), source.bits(16), source.bits(16))
        else:
            while len(costs) < count:
                costs.append(costs[-1] + source.golomb())
    if not costs:
        return [0] * 256
    weights = [WEIGHTS[c % 8] >> c // 8 for c in costs]
    total, whole = (2048, sum(weights)) if odd else (4096, 2 * sum(weights) - weights[0])
    shares = [max(1, (w * total + whole // 2) // whole) for w in weights[1:]]
    if odd:
        return [f for f in [total - sum(shares), *shares] for _ in range(2)]
    return [total - 2 * sum(shares)] + [f for f in shares for _ in range(2)]


def couples(single):
    """Return the frequencies of pairs, or nothing."""
    near = (list(single) + [0] * 15)[:15]
    whole = sum(near)
    if whole < 4096 * 127 // 128:
        return []
    found = [max(1, (f * g + 2048) >> 12) if f * g else 0 for f in near for g in near] + [0] * 30
    found.append(max(1, 4096 - ((whole * whole + 2048) >> 12)))
    largest = found.index(max(found[:255]))
    found[largest] += max(4096 - sum(found), 0)
    while sum(found) > 4096:
        found[found.index(max(found[:255]))] -= 1
    return found


def level(lanes, slots, odd, trellis):
    """Return the next level."""
    y = lanes.symbol(slots, 12)
    m, negative = (y >> 1, y & 1) if odd else ((y + 1) >> 1, 1 - (y & 1))
    u = (4 + (m - 16) % 4) << raw_bits(m) | lanes.raw(raw_bits(m)) if m >= 16 else m
    magnitude = 2 * u + odd if trellis else u
    return -magnitude if negative else magnitude


def classes_of(shape, mode, symbols, number):
    """Return the class of each weight."""
    rows, columns, positions = (
        (shape[0], shape[1], math.prod(shape[2:])) if len(shape) > 1 else (1, 1, math.prod(shape))
    )
    symbols = iter(symbols)
    of_rows = [next(symbols) for _ in range(rows)] if mode & 1 else [next(symbols)] * rows
    of_columns = [next(symbols) for _ in range(columns)] if mode & 2 else [0] * columns
    of_positions = [next(symbols) for _ in range(positions)] if mode & 4 else [0] * positions
    return [min(max(r - c - p, 0), number - 1) for r in of_rows for c in of_columns for p in of_positions]


def levels_of(payload, counts, nu, tables, paired):
    """Return the levels, class by class; ``counts`` says how many each class has."""
    wide = [bool(paired[c]) for c in range(len(counts))]
    units = sum((n + 1) // 2 if w else n for n, w in zip(counts, wide, strict=True))
    if not units:
        return []
    lanes, out = lac.Lanes(lac.Bytes(payload), 8 * (units >> 15) or 1), []
    states, (h0, h1) = [0] * lanes.count, lac.CODES.get(nu, (0, 0))
    for c, n in enumerate(counts):
        end = len(out) + n
        while len(out) < end:
            state = states[lanes.lane]
            odd = state & 1
            pair = lanes.symbol(paired[c], 12) if wide[c] else 0
            if wide[c] and pair < 255:
                out += [(y + 1) // 2 if y % 2 else -(y // 2) for y in divmod(pair, 15)]
            else:
                out += [level(lanes, tables[c][odd], odd, nu > 0) for _ in range(1 + wide[c])]
            z = out[-1] >> 1 & 1
            states[lanes.lane] = state >> 1 ^ (h0 >> 1 if odd else 0) ^ (h1 >> 1 if z else 0)
            lanes.turn += 1
        del out[end:]
    lanes.finish()
    return out


def untransformed(coefficients):
    """Return the kernels of a cosine transform."""
    for axis in range(2, coefficients.ndim):
        n, out = coefficients.shape[axis], np.zeros_like(coefficients)
        moved, kernels = np.moveaxis(coefficients, axis, 0), np.moveaxis(out, axis, 0)
        for x in range(n):
            for k in range(n):
                cosine = math.sqrt((1 + (k > 0)) / n) * math.cos(math.pi * (2 * x + 1) * k / (2 * n))
                kernels[x] += moved[k] * (round(2**30 * cosine) / 2**30)
        coefficients = out
    return coefficients


def grid(shape, facts, step, model, scales, payload):
    """Return the tensor in float64."""
    (transform, mode, start), source = facts, lac.Bytes(model.tobytes())
    head, offsets = source.unsigned(1), np.frombuffer(source.take(source.unsigned(1)), np.int8)
    nu, number = head & 7, source.unsigned(1)
    frequencies = [[table(source, odd) for odd in range(1 + (nu > 0))] for _ in range(number)]
    source.align()
    assert not source.rest()
    tables = [[lac.slots_of(f) for f in own] for own in frequencies]
    paired = [lac.slots_of(couples(own[0])) if head & 8 else [] for own in frequencies]
    classes = classes_of(shape, mode, scales[start:], number) if math.prod(shape) else []
    order = sorted(range(len(classes)), key=classes.__getitem__)
    out = np.zeros(len(classes))
    levels = levels_of(payload.tobytes(), [classes.count(c) for c in range(number)], nu, tables, paired)
    for place, v in zip(order, levels, strict=True):
        o = int(offsets[min(abs(v), len(offsets)) - 1]) if v and len(offsets) else 0
        row = place * len(step) // len(out)
        out[place] = (float(v) + (o if v > 0 else -o) / 256) * float(step[row])
    return untransformed(out.reshape(shape)) if transform else out.reshape(shape)
