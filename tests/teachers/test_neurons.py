"""Neurons that tell labels apart and not the same ones twice: a search beside all subsets."""

from itertools import combinations

import numpy as np
import pytest
import torch
from teaching_nets import Thin, images, task_of

from laconic.errors import DataError
from laconic.teachers.neurons import best_neurons, correlations, energy, merits, selected

NEURONS = 12


def activity(seed):
    """Neurons that are mixtures of a few causes, some of which are the class."""
    source = np.random.default_rng(seed)
    labels = source.integers(0, 3, 200)
    causes = np.column_stack([source.normal(size=(200, 4)), labels == 0, labels == 1, labels])
    return causes @ source.normal(size=(7, NEURONS)) + 0.3 * source.normal(size=(200, NEURONS)), labels


@pytest.mark.parametrize("weight", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("count", [1, 3, 6, NEURONS])
def test_no_subset_is_better_than_what_is_found_but_rarely_and_by_little(count, weight):
    exact = 0
    for seed in range(12):
        values, labels = activity(seed)
        own, pairs = merits(values, labels), correlations(values)
        found = selected(own, pairs, count, weight)
        best = max(energy(list(subset), own, pairs, weight) for subset in combinations(range(NEURONS), count))
        reached = energy(found, own, pairs, weight)
        assert len(set(found)) == count
        assert reached <= best + 1e-9
        assert reached > best - 0.1
        exact += reached > best - 1e-9
        for out in found:  # no swap is left that would help
            rest = [one for one in found if one != out]
            others = set(range(NEURONS)) - set(found)
            assert all(energy([*rest, new], own, pairs, weight) <= reached + 1e-9 for new in others)
    assert exact >= 9


def test_merits_and_correlations_are_those_of_the_textbook():
    values, labels = activity(0)
    values[:, 3] = 2.5  # does not vary
    own, pairs = merits(values, labels), correlations(values)
    for i in range(NEURONS):
        column, classes = values[:, i], np.unique(labels)
        within = sum(((column[labels == c] - column[labels == c].mean()) ** 2).sum() for c in classes)
        whole = ((column - column.mean()) ** 2).sum()
        assert own[i] == (0 if i == 3 else pytest.approx(1 - within / whole, rel=1e-9))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.nan_to_num(np.abs(np.corrcoef(values.T)))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(pairs, expected, atol=1e-12)


def test_neurons_of_a_layer_are_chosen_by_what_it_writes_on_a_split():
    net = Thin(4)
    with torch.no_grad():
        net.second.weight[3] = net.second.weight[5]  # one twice
        net.second.bias[3] = net.second.bias[5]
        net.second.weight[1] = 0  # one that says nothing
    of = task_of(net)
    found = best_neurons(net, "second", of, 4)
    assert 1 not in found
    assert len({3, 5} & set(found)) < 2
    pictures, labels = images()
    written = net.second(net.first(pictures).relu()).mean((2, 3)).detach().double().numpy()
    others = [0, 2, 3, 4, 5, 6, 7]
    expected = selected(merits(written[:, others], labels.numpy()), correlations(written[:, others]), 4, 1.0)
    assert found == [others[one] for one in expected]
    with pytest.raises(DataError, match="of 7 neurons that vary 1 to 7 can be chosen, not 8"):
        best_neurons(net, "second", of, 8)
    with pytest.raises(DataError, match="not finite"):
        selected(np.array([np.nan, 1.0]), np.zeros((2, 2)), 1, 1.0)
