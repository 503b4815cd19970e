"""Tag 4: levels times their step."""

import numpy as np

from reference import tables
from reference.lac import Bits
from reference.levels import classes_of, levels
from reference.model import costs_of


def kernels(c):
    """Return the weights of a cosine transform's coefficients."""
    for axis in range(2, c.ndim):
        n, c = c.shape[axis], np.moveaxis(c, axis, -1)
        k, x = np.ogrid[:n, :n]
        b = np.rint(2**30 * np.sqrt((1 + (k > 0)) / n) * np.cos(np.pi * (2 * x + 1) * k / (2 * n))) / 2**30
        c = np.moveaxis(sum((c[..., i, None] * b[i] for i in range(n)), np.zeros_like(c)), -1, axis)
    return c


def grid(shape, dtype, facts, step, model, scales, payload):
    """The levels with their offsets, times the step, transformed back; turned, the row is the last axis in the file."""
    (transform, mode, start), source = facts, Bits(model)
    nu, in_pairs, _ = source.bits(3), source.bits(1), source.bits(4)
    offsets, number = np.frombuffer(source.string(), np.int8), source.bits(8)
    own = [[tables.single(costs_of(source), odd) for odd in range(2 if nu else 1)] for _ in range(number)]
    assert not source.rest()
    pairs = [tables.paired(singles[0]) if in_pairs else [] for singles in own]
    symbols = iter(scales[start:].tolist())
    classes = classes_of(shape, mode & 7, symbols, number)
    counts, v = [classes.count(c) for c in range(number)], np.zeros(len(classes))
    places = np.moveaxis(np.arange(len(v)).reshape(shape or 1), 0, -1 if transform == 2 else 0).ravel()
    v[places[np.argsort(np.array(classes)[places], kind="stable")]] = levels(payload, counts, nu, own, pairs)
    o = np.sign(v) * np.array([0, *offsets])[np.minimum(abs(v), len(offsets)).astype(int)]
    first = (-1, *[1] * (len(shape) - 1))
    step = step.reshape(shape[1:] or -1 if transform == 2 and len(step) > 1 else first)
    k = np.array([next(symbols) for _ in range(shape[0])] if mode & 8 else [0]).reshape(first)
    found = (v + o / 256).reshape(shape) * (step * (np.where(k % 2, 181 / 256, 1) / 2.0 ** (k // 2)))
    return kernels(found) if transform == 1 else found
