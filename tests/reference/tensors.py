"""Tags 8 and 9: a core times two matrices, and a sum of products of vectors."""

import math

import numpy as np


def product(left, right):
    """Return L R, its terms added in order, in float64."""
    terms = (np.outer(left[:, k], right[k]) for k in range(len(right)))
    return sum(terms, np.zeros((len(left), right.shape[1])))


def tucker(shape, dtype, facts, *parts):
    """The core times the right matrix, and then the left matrix times that."""
    left, core, right = (part.astype(np.float64) for part in parts)
    rows = np.moveaxis(core, 1, -1).reshape(math.prod((len(core), *core.shape[2:])), core.shape[1])
    middle = np.moveaxis(product(rows, right).reshape(len(core), *core.shape[2:], shape[1]), -1, 1)
    return product(left, middle.reshape(left.shape[1], math.prod(shape[1:])))


def canonical(shape, dtype, facts, factors):
    """The sum over k of products of column k, cut into a vector for each axis."""
    found = np.zeros(shape)
    for column in factors.astype(np.float64).T:
        term = np.ones(())
        for vector in np.split(column, np.cumsum(shape)[:-1]):
            term = np.multiply.outer(term, vector)
        found += term
    return found
