"""A pass over a network: what it holds is what its codes stand for, and biases take up the mean error."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import laconic
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.lockstep import room
from laconic.calibrate.network import Network
from laconic.calibrate.sequence import level_of
from laconic.calibrate.trial import coded
from laconic.calibrate.vectors import SHARE
from laconic.models.params import all_params_of, to_numpy
from laconic.models.ties import untied

from .passes import HOW, one_pass


@pytest.mark.parametrize("name", ["conv", "grouped", "language", "tied", "block", "twice", "float16", "zeros"])
def test_codes_stand_for_what_the_pass_had(name):
    network, found = one_pass(name, 2.5)
    codes = coded(network, found, HOW)
    assert list(codes) == list(network.params)
    assert set(found.rounded) == {subject.name for subject in network.subjects}
    for key in found.rounded:
        decoded, held = codes[key].decompress(), to_numpy(found.params[key])
        assert decoded.dtype == held.dtype
        assert decoded.tobytes() == held.tobytes()
    biases = {subject.bias for subject in network.subjects}
    for key in network.params.keys() - found.rounded.keys() - biases:
        decoded, held = codes[key].decompress(), to_numpy(network.params[key])
        if key in network.vectors:
            ratio, most = network.vectors[key]
            step = math.sqrt(12 * SHARE * min(found.level * ratio, most))
            assert np.abs(decoded.astype(float) - held.astype(float)).max() <= 0.5001 * step
        else:
            assert decoded.tobytes() == held.tobytes()


def means(network: Network, params: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The mean of what layers, or the normalizations after them, write for the samples that are seen, by the weight."""
    module, sums = network.calibration.module, dict[str, list[Tensor]]()
    parts = dict(module.named_modules())

    def keep(name: str, output: Tensor) -> None:
        axes = [axis for axis in range(output.ndim) if axis != (1 if output.ndim == 4 else output.ndim - 1)]
        sums.setdefault(name, []).append(output.double().mean(axes) * len(output))

    handles = [
        parts[path].register_forward_hook(lambda part, given, output, name=name: keep(name, output))
        for name, path in names.items()
    ]
    module.eval()
    with torch.no_grad():
        for batch in network.calibration.seen:
            network.calibration.whole_outputs(params, batch)
    for handle in handles:
        handle.remove()
    total = sum(len(batch[0]) for batch in network.calibration.seen)
    return {name: torch.stack(parts).sum(0) / total for name, parts in sums.items()}


@pytest.mark.parametrize("name", ["conv", "grouped", "mlp", "block"])
def test_biases_take_up_the_mean_error(name):
    network, found = one_pass(name, 2.0)
    writers = {one.name: one.bias.rpartition(".")[0] for one in network.subjects if one.bias}
    assert len(writers) >= 3
    before, after = (means(network, params, writers) for params in (dict(network.params), found.params))
    for key in writers:
        assert not torch.equal(network.params[key], found.params[key])
        assert (after[key] - before[key]).abs().max() < 1e-4
    moved = dict(found.params) | {one.bias: network.params[one.bias] for one in network.subjects if one.bias}
    without = means(network, moved, writers)
    assert max(float((without[key] - before[key]).abs().max()) for key in writers) > 1e-2


def test_the_bits_of_a_pass_are_those_asked_for():
    for name, bits in (("mlp", 3.0), ("conv", 4.0)):
        network, found = one_pass(name, bits)
        weights = sum(network.params[subject.name].numel() for subject in network.subjects)
        assert found.bits / weights == pytest.approx(bits, rel=0.03)
        integers = sum(len(code.payload) for key, code in coded(network, found, HOW).items() if key in found.rounded)
        assert 8 * integers / weights == pytest.approx(bits, rel=0.1)


def test_a_level_is_where_the_bits_are():
    network, _ = one_pass("mlp", 3.0)
    ratios = {network.subjects[0].name: 0.5}
    level = level_of(network.subjects, ratios, 9000.0)
    assert sum(one.bits(level) * ratios.get(one.name, 1.0) for one in network.subjects) == pytest.approx(9000, rel=1e-6)
    assert level_of((), {}, 1.0) > 0


def test_a_weight_or_a_bias_of_two_layers_has_no_bias_of_its_own():
    network, _ = one_pass("twice", 3.0)
    assert {one.name: one.bias for one in network.subjects} == {
        "a.weight": None, "middle.weight": "middle.bias", "last.weight": "last.bias", "never.weight": None,
    }  # fmt: skip
    module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    module[2].bias = module[0].bias
    params = all_params_of(module)
    ready = Ready.of(untied(params, module), Calibration.of(module, torch.randn(20, 8)))
    assert [one.bias for one in ready.network.subjects] == [None, None]
    assert np.isfinite([one.worth for one in ready.network.subjects]).all()


def test_a_forward_of_another_modules_layers_is_run_anew():
    net = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 5)).eval()
    layers = list(net)
    net.forward = lambda x: layers[2](layers[1](layers[0](x)))  # a copy has it, too, and runs these layers
    calibration = Calibration.of(net, torch.randn(60, 12, generator=torch.Generator().manual_seed(0)), 60)
    survey = calibration.survey(net.state_dict())
    assert room(calibration.task, calibration.seen, survey.places) == math.inf
    result = laconic.compress(net, bits=10, effort="calibrate", calibration=torch.randn(60, 12), samples=60)
    assert result.calibration.layers == ("0.weight", "2.weight")
