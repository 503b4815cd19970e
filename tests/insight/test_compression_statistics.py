"""The columns of Deep Compression's tables: those of the layout, whatever the code, and those in print."""

import numpy as np
import pytest

from laconic.experiments.recipes.deep_compression.printed import ALEXNET, LENET5, LENET300, VGG16
from laconic.format.codes import CodebookCode, DenseCode, SparseCode, Symbols, Values
from laconic.insight.compression_statistics import MOST, by_chance, pruned, statistics, total
from laconic.insight.deep_compression import account, encode

SMALL = [(network, layer) for network in (ALEXNET, VGG16) for layer in network.layers if layer.weights < 1_000_000]


def sparse(shape, density, choices, seed=0):
    """Random survivors, each with one of some values."""
    rng = np.random.default_rng(seed)
    mask = rng.random(int(np.prod(shape))) < density
    codebook = Values(rng.standard_normal(choices).astype(np.float32))
    values = CodebookCode((mask.sum(),), "float32", codebook, Symbols(rng.integers(0, choices, mask.sum()), choices))
    return SparseCode(shape, "float32", Symbols(mask.astype(np.uint8), 2), values)


def test_columns_are_those_of_the_layout_whatever_code_a_tensor_has():
    code = sparse((30, 40), 0.1, 15)
    values, indices = np.unique(code.decompress(), return_inverse=True)  # 0 is one of them
    other = CodebookCode(code.shape, "float32", Values(values), Symbols(indices.ravel(), len(values)))
    own, counted = statistics(code), account(pruned(code))
    assert own == statistics(other)
    assert (own.weights, own.kept, own.entries) == (1200, code.values.size, counted.entries)
    assert own.rates == (own.quantized / (32 * 1200), own.coded / (32 * 1200))
    assert (own.quantized, own.coded) == (counted.quantized, counted.coded)
    assert own.bits[0] == 4  # 15 values and the filler
    assert encode(pruned(other)) == encode(pruned(code))


def test_a_tensor_of_many_values_and_a_vector_have_none():
    many = np.arange(MOST + 2, dtype=np.float32).reshape(-1, 2)
    assert statistics(DenseCode(many.shape, "float32", Values(many.ravel()))) is None
    assert statistics(DenseCode((4,), "float32", Values(np.float32([0, 1, 0, 1])))) is None
    assert statistics(DenseCode((2, 2), "float32", Values(np.float32([0, 1, 0, 1])))).share == 0.5


def test_a_total_has_the_sums():
    layers = [statistics(sparse((30, 40), share, 15, seed)) for seed, share in enumerate((0.1, 0.5))]
    every = total(layers)
    assert every.weights == 2400
    assert every.rates[0] == pytest.approx(sum(one.rates[0] for one in layers) / 2)
    assert every.entries == sum(one.entries for one in layers)


@pytest.mark.parametrize(("network", "layer"), SMALL, ids=[layer.name for _, layer in SMALL])
def test_rates_in_print_are_those_of_survivors_in_random_places(network, layer):
    own = by_chance(layer.weights, layer.kept / 100, layer.bits, layer.coded, layer.index)
    assert 100 * own.rates[0] == pytest.approx(layer.rate, rel=0.045 if layer.name == "conv1_1" else 0.03)
    # Huffman codes of the indices: in print survivors lie closer together than by chance
    assert layer.rate_coded * 0.97 <= 100 * own.rates[1] <= layer.rate_coded * 1.1


def test_rates_of_the_lenets_in_print_come_of_their_shares_and_bits():
    for network in (LENET300, LENET5):
        layers = [by_chance(one.weights, one.kept / 100, one.bits, one.coded, one.index) for one in network.layers]
        assert 100 * total(layers).rates[0] == pytest.approx(network.rates[0], rel=0.03)
