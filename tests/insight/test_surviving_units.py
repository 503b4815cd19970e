"""Surviving inputs and neurons: those on a path of weights, whatever else points at nothing."""

from itertools import pairwise, product

import numpy as np
import pytest

from laconic.insight.surviving_units import surviving, widths


def by_paths(weights):
    """Slow twin: every path from an input to an output, one unit of each layer."""
    sizes = [weights[0].shape[1], *(weight.shape[0] for weight in weights)]
    kept = [np.zeros(size, bool) for size in sizes]
    for path in product(*map(range, sizes)):
        if all(weight[path[k + 1], path[k]] != 0 for k, weight in enumerate(weights)):
            for layer, unit in zip(kept, path, strict=True):
                layer[unit] = True
    return kept


def test_what_survives_is_on_a_path_from_an_input_to_an_output():
    rng = np.random.default_rng(0)
    seen = set()
    for density in (0.0, 0.1, 0.2, 0.4, 1.0):
        for _ in range(8):
            sizes = rng.integers(1, 5, 4)
            weights = [
                rng.standard_normal((after, before)) * (rng.random((after, before)) < density)
                for before, after in pairwise(sizes)
            ]
            for one, other in zip(surviving(weights), by_paths(weights), strict=True):
                np.testing.assert_array_equal(one, other)
            seen.add(widths(weights))
    assert len(seen) > 10


def test_a_neuron_without_weights_on_either_side_and_what_hangs_on_it_alone_are_gone():
    first = np.array([[1.0, 0, 0], [0, 0, 0], [0, 1, 0]])  # the second neuron reads nothing
    second = np.array([[1.0, 1, 0], [0, 1, 0]])  # nothing reads the third; the second output reads a constant alone
    assert widths([first, second]) == (1, 1, 1)


def test_layers_that_are_no_chain_are_refused_by_number():
    with pytest.raises(ValueError, match="layer 0 writes 3 numbers and layer 1 reads 2"):
        widths([np.ones((3, 4)), np.ones((5, 2))])
