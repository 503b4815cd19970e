"""Modules that hold weights as the file does: their outputs, and what they take."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from small_nets import Block, Language
from torch import nn

import laconic
from laconic.csteps.fixed_codebook import FixedCodebook, integers
from laconic.deploy.factored import Factored
from laconic.deploy.modules import Lookup, Sparse, stored
from laconic.format.codes.low_rank import VIEWS


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 8, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Flatten(), nn.Linear(128, 60)
    return nn.Sequential(*layers, nn.Tanh(), nn.Linear(60, 5)).eval()


IMAGES = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
CASES = {
    "factored": (laconic.LowRank(2), {"3": "factored", "5": "factored"}),
    "lookup": (laconic.AdaptiveCodebook(5), {"0": "lookup", "3": "lookup", "5": "lookup"}),
    "scales": (FixedCodebook(integers(16), block=4), {"0": "lookup", "3": "lookup", "5": "lookup"}),
    "sparse": (laconic.KeepLargest(0.1), {"3": "sparse", "5": "sparse"}),
    "half": (laconic.KeepLargest(0.5), {}),
    "full rank": (laconic.LowRank(60), {}),
    "grid": (laconic.UniformGrid(bits=3), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_decompressed_weights(case):
    compression, forms = CASES[case]
    net = network()
    before = deepcopy(net.state_dict())
    result = laconic.compress(net, compression)
    made = stored(net, result.codes)
    assert made.forms == forms
    with torch.no_grad():
        wanted = result.module(net, materialize=True)(IMAGES)
        torch.testing.assert_close(made.module(IMAGES), wanted, rtol=1e-5, atol=1e-6)
        for path in forms:
            torch.testing.assert_close(made.module.get_submodule(path).weight, result.params[f"{path}.weight"])
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items()), "the network stays"
    assert {type(part) for part in result.module(net, materialize=True)} == {type(part) for part in net}


@pytest.mark.parametrize(("kind", "share"), [(Factored, 0.5), (Lookup, 0.3), (Sparse, 0.35)])
def test_what_is_held_takes_less_memory(kind, share):
    compression = {Factored: laconic.LowRank(6), Lookup: laconic.AdaptiveCodebook(16), Sparse: laconic.KeepLargest(0.1)}
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    layer = laconic.compress(net, compression[kind]).module(net)[0]
    assert isinstance(layer, kind)
    held = sum(t.numel() * t.element_size() for t in (*layer.parameters(), *layer.buffers()))
    assert held <= share * 4 * (64 * 64 + 64)


@pytest.mark.parametrize(
    "compression",
    [*(laconic.LowRank(2, view=view) for view in VIEWS), laconic.Tucker(3, 2), laconic.Canonical(4)],
)
def test_factored_convolutions_run_as_thin_ones_by_the_names_that_their_codes_have(compression):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2)).eval()
    result = laconic.compress(net, laconic.Plan({"*.weight": compression}))
    made, images = stored(net, result.codes), torch.randn(2, 6, 9, 9)
    assert made.forms["0"] == "factored"
    assert made.codes.keys() == made.module.state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(made.module(images), result.module(net, materialize=True)(images))
    own = made.module.state_dict()
    assert all(np.array_equal(code.decompress(), own[name]) for name, code in made.codes.items())


def test_what_reads_the_weight_of_a_factored_dense_layer_finds_the_product():
    """In evaluation torch's encoder multiplies by the weights of its layers, and does not call them."""
    torch.manual_seed(0)
    net, inputs = nn.TransformerEncoderLayer(12, 2, 16, batch_first=True).eval(), torch.randn(2, 3, 12)
    result = laconic.compress(net, laconic.Plan({"linear*.weight": laconic.LowRank(2)}))
    made = stored(net, result.codes)
    assert set(made.forms) == {"linear1", "linear2"}
    with torch.no_grad():
        torch.testing.assert_close(made.module(inputs), result.module(net, materialize=True)(inputs))


def test_layers_whose_weight_somebody_else_reads_stay_as_they_are():
    """Tied weights, and the projections within attention, which are read past the layer."""
    net = Language(tied=True).eval()
    made = stored(net, laconic.compress(net, laconic.AdaptiveCodebook(4)).codes)
    assert made.module.last.weight is made.module.table.weight
    block = Block().eval()
    result = laconic.compress(block, laconic.AdaptiveCodebook(4))
    inputs = torch.randn(2, 3, 6)
    with torch.no_grad():
        wanted = result.module(block, materialize=True)(inputs)
        torch.testing.assert_close(result.module(block)(inputs), wanted, rtol=1e-5, atol=1e-6)
