"""Whole networks within a size, by what their layers read: sizes, files, what is told, and what is refused."""

import re
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from small_nets import NETS, net
from torch import nn

import laconic
from laconic.calibrate import rates
from laconic.calibrate.calibration import Calibration
from laconic.errors import DataError, PlanError, WeightsError
from laconic.format import container
from laconic.models.data import load
from laconic.models.params import all_params_of
from laconic.training.judges import distance

BITS = {"conv": 3.3, "grouped": 4.0, "language": 4.0, "tied": 4.0, "twice": 5.0, "zeros": 3.3, "one output": 4.0}


@cache
def compressed(name: str, bits: float = 0.0) -> laconic.Result:
    module, samples = net(name)
    return laconic.compress(module, bits=bits or BITS.get(name, 3.0), calibration=samples, quality="fast")


@pytest.mark.parametrize("name", NETS)
def test_a_file_is_within_its_size_and_near_it(name):
    module, samples = net(name)
    before = {key: tensor.clone() for key, tensor in all_params_of(module).items()}
    module[0].eval() if isinstance(module, nn.Sequential) else module.eval()
    modes = [part.training for part in module.modules()]
    bits = BITS.get(name, 3.0)
    result = laconic.compress(module, bits=bits, calibration=samples, quality="fast")
    size = int(bits * result.fitted.weights / 8)
    assert 0.99 * size <= result.file_bytes <= size
    data = container.dumps(result.codes, result.metadata)
    assert len(data) == result.file_bytes
    read = container.loads(data).codes
    own = all_params_of(module)
    assert read.keys() == own.keys()
    for key, tensor in own.items():
        found = read[key].decompress()
        assert found.shape == tuple(tensor.shape)
        assert found.dtype.name == str(tensor.dtype).removeprefix("torch.")
        assert np.isfinite(found.astype(np.float64)).all()
        assert torch.equal(tensor, before[key])
    assert [part.training for part in module.modules()] == modes
    assert data == container.dumps(compressed(name).codes, compressed(name).metadata)  # again, the same bytes


@pytest.mark.parametrize(
    ("name", "bits"), [("mlp", 2.5), ("mlp", 6.0), ("grouped", 5.0), ("block", 2.0), ("block", 6.0)]
)
def test_several_sizes_are_met(name, bits):
    result = compressed(name, bits)
    assert 0.99 <= result.file_bytes / int(bits * result.fitted.weights / 8) <= 1


def test_what_is_told_names_each_weight_and_why():
    told = compressed("block").calibration
    assert set(told.layers) == {"first.weight", "mlp.0.weight", "mlp.3.weight", "last.weight"}
    assert "MultiheadAttention" in told.alone["attend.in_proj_weight"]
    assert (told.samples, told.unseen) == (32, 8)
    assert "there are only 40" in told.notes[0]
    twice = compressed("twice").calibration
    assert twice.alone == {"never.weight": "its layer has never been called"}
    assert compressed("conv").calibration.folded == {"1": "0", "4": "3"}
    assert "row by row" in compressed("language").calibration.alone["table.weight"]
    assert "of one sample none is held out" in compressed("one sample").calibration.notes[1]


def test_tied_weights_are_stored_once():
    codes = compressed("tied").codes
    assert codes["last.weight"] is codes["table.weight"]
    assert "embedding as well" in " ".join(compressed("tied").calibration.notes)
    codes = compressed("twice").codes
    assert codes["a.weight"] is codes["b.weight"]


def test_zeros_stay_and_dead_layers_cost_nothing():
    codes = compressed("zeros").codes
    assert not codes["4.weight"].decompress().any()
    assert not codes["6.weight"].decompress().any()  # it reads one vector alone, which its bias takes up
    module, samples = net("zeros")
    before = module(samples)
    module.load_state_dict(compressed("zeros").params)
    assert torch.allclose(before, module(samples), atol=1e-3)


@pytest.mark.parametrize("bits", [1.6, 2.0])
def test_a_trained_classifier_loses_less_than_half_of_what_it_loses_without_inputs(bits):
    data = load("digits", None, "pixels/16")
    (x, y), (unseen, _) = (data.split(name) for name in ("train", "test"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10)
        )
        optimizer = torch.optim.Adam(module.parameters(), 3e-3)
        for start in 20 * list(range(0, len(x), 128)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[start : start + 128]), y[start : start + 128]).backward()
            optimizer.step()
    ours = laconic.compress(module, bits=bits, calibration=[(x, y)])
    plain = laconic.compress(module, size=ours.file_bytes)

    def lost(result: laconic.Result) -> float:
        with torch.no_grad():
            outputs = torch.func.functional_call(module, result.params, unseen)
            return distance(module(unseen), outputs, "classification")

    assert plain.file_bytes <= ours.file_bytes
    assert lost(ours) <= 0.5 * lost(plain)
    assert ours.calibration.distance < 0.2


def test_threads_do_not_change_a_file():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        module, samples = net("mlp")
        result = laconic.compress(module, bits=3.0, calibration=samples, quality="fast")
    finally:
        torch.set_num_threads(before)
    assert container.dumps(result.codes) == container.dumps(compressed("mlp").codes)


def test_biases_alone_fit_in_a_size_and_have_no_bits():
    module, samples = nn.Sequential(nn.LayerNorm(24)), torch.randn(20, 24)
    result = laconic.compress(module, size=1000, calibration=samples)
    assert result.file_bytes <= 1000
    assert all(
        (result.codes[name].decompress() == tensor.detach().numpy()).all() for name, tensor in module.named_parameters()
    )
    with pytest.raises(PlanError, match="0 weights to count"):
        laconic.compress(module, bits=2, calibration=samples)


def test_too_small_a_size_names_the_smallest_file():
    module, samples = net("mlp")
    said = r"200 bytes are not met; the smallest file that was made has (\d+), of which (\d+) are no integers"
    with pytest.raises(PlanError, match=said) as told:
        laconic.compress(module, size=200, calibration=samples)
    smallest, beside = map(int, re.search(said, str(told.value)).groups())
    assert smallest / 4 < beside < smallest
    assert laconic.compress(module, size=smallest + 200, calibration=samples).file_bytes <= smallest + 200


def test_what_is_wrong_is_said():
    module, samples = net("mlp")

    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        scripted = torch.jit.script(module)

    def refused(error: type[Exception], why: str, **how: object) -> None:
        with pytest.raises(error, match=why):
            laconic.compress(**{"network": module, "bits": 3, "calibration": samples, **how})

    refused(DataError, r"batch 0 .*NaN", calibration=torch.full((4, 24), torch.nan))
    refused(DataError, r"fails on batch 0 .*\(3, 23\)", calibration=torch.ones(4, 23))
    refused(PlanError, "SNR", bits=None, snr=20)
    refused(PlanError, "leave out the plan's rows", plan=laconic.Plan({"0.weight": laconic.AdaptiveCodebook(4)}))
    refused(PlanError, "samples .*effort 'calibrate'", calibration=None, samples=10)
    refused(PlanError, "at least 1", samples=-1)
    refused(PlanError, "give the module", network=dict(module.state_dict()))
    refused(PlanError, "0.weight: .*fewer bits", bits=30)
    refused(DataError, "TorchScript .*give the module that it was made of", network=scripted)
    spoilt, _ = net("mlp")
    spoilt[4].weight.data[0, 0] = torch.nan
    refused(WeightsError, "4.weight: 1 of", network=spoilt)
    endless, _ = net("mlp")
    endless[0].bias.data[:] = torch.inf
    refused(DataError, "'4' reads numbers that are NaN", network=endless)


def test_lossless_tensors_stay():
    module, samples = net("mlp")
    result = laconic.compress(module, bits=6, calibration=samples, lossless=["6.*"], quality="fast")
    assert (result.codes["6.weight"].decompress() == module[6].weight.detach().numpy()).all()
    assert result.calibration.layers == ("0.weight", "4.weight")
    assert Calibration.of(module, samples).survey(all_params_of(module)).places[-1].name == "6.weight"


def test_integers_for_targets_are_classes_where_there_is_one_for_a_row_of_logits():
    inputs, wide, narrow = torch.randn(60, 20), nn.Linear(20, 10), nn.Linear(20, 1)
    for module, targets, kind in (
        (wide, torch.zeros(60, dtype=torch.long), "classification"),
        (wide, torch.zeros(60, 10, dtype=torch.long), None),
        (narrow, torch.zeros(60, dtype=torch.long), None),
        (narrow, torch.zeros(60, 1, dtype=torch.long), None),
    ):
        assert Calibration.of(module, [(inputs, targets)], 60).kind == kind
    named = nn.Sequential(wide)
    named.forward = lambda input: wide(input)
    assert Calibration.of(named, [{"input": inputs, "labels": torch.zeros(60, dtype=torch.long)}], 60).kind


def test_a_network_with_nothing_to_choose_ends():
    net = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10))
    result = laconic.compress(net, bits=60, effort="calibrate", calibration=torch.randn(80, 20), lossless=["*"])
    assert result.calibration.layers == ()
    assert all((result.params[name] == tensor).all() for name, tensor in net.state_dict().items())


def test_buffers_that_a_forward_changes_stay_the_modules():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(20, 30)
            self.register_buffer("count", torch.zeros((), dtype=torch.long))

        def forward(self, x):
            self.count += 1
            return self.linear(x)

    net = Counting()
    result = laconic.compress(net, bits=12, effort="calibrate", calibration=torch.randn(80, 20))
    assert net.count == 0
    assert result.params["count"] == 0


class Tied(nn.Module):
    """A table that is the output layer as well; as that it reads little but one direction."""

    def __init__(self):
        super().__init__()
        self.table, self.mix, self.out = nn.Embedding(32, 16), nn.Linear(16, 16), nn.Linear(16, 32, bias=False)
        self.out.weight = self.table.weight
        with torch.no_grad():
            self.mix.weight.copy_(torch.outer(torch.randn(16), torch.randn(16)) + 0.01 * torch.randn(16, 16))

    def forward(self, tokens):
        return self.out(torch.tanh(self.mix(self.table(tokens))))


def test_errors_of_a_tied_embedding_do_not_hide_where_it_is_not_read_as_a_matrix(monkeypatch):
    """The output layer reads one direction; rows that are looked up are read in all of them."""
    torch.manual_seed(0)
    module = Tied()
    samples = [torch.arange(32).repeat(8, 1)]

    def lost(share: float) -> float:
        monkeypatch.setattr(rates, "EMBEDS", share)
        params = laconic.compress(module, bits=3, effort="calibrate", calibration=samples).params
        return float((params["table.weight"] - module.table.weight.detach()).square().sum())

    assert lost(1.0) < 0.5 * lost(0.0)
