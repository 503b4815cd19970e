"""No silent damage: what compression takes from a tensor is told, whatever the figure of the whole network."""

import math

import pytest
import torch
from torch import nn

import laconic
from laconic.quantize.budget import Signal


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ENDS = {"float16": 65504.0, "float8_e4m3fn": 448.0, "bfloat16": 3.38e38}


@pytest.mark.parametrize("dtype", ENDS)
@pytest.mark.parametrize("budget", [laconic.Budget(bits=4), laconic.Budget(snr=25)])
def test_weights_at_the_end_of_their_type_stay_finite(dtype: str, budget: laconic.Budget):
    normal = drawn(48, 48)
    for weights in (normal / normal.abs().max(), normal.sign()):
        given = (weights * ENDS[dtype]).to(getattr(torch, dtype))
        result = laconic.compress({"w": given}, budget)
        assert result.params["w"].float().isfinite().all()
        assert result.weak == ()
        assert 20 < result.signals["w"].snr == pytest.approx(result.fitted.snr)


def test_what_comes_out_zero_or_infinite_or_weak_is_named_in_plans():
    weights = {
        "gone": 1e-3 * drawn(8, 8),
        "kept": drawn(16, 16, seed=1),
        "far": (drawn(32, 32).sign() * 65504).half(),
        "bias": drawn(8),
    }
    plan = laconic.Plan(
        {"gone, kept": laconic.Joint(laconic.KeepLargest(0.25)), "far": laconic.LowRank(4)}, rest=laconic.Lossless()
    )
    result = laconic.compress(weights, plan)
    assert result.weak == (("far", -math.inf), ("gone", 0.0))
    assert result.signals["bias"].snr == math.inf
    error = (result.params["kept"] - weights["kept"]).square().sum() / weights["kept"].square().sum()
    assert result.signals["kept"].snr == pytest.approx(-10 * error.log10().item(), abs=1e-4)


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_weight_that_the_module_makes_is_told_as_it_is_made(norm):
    layer = nn.Linear(64, 64)
    nn.init.normal_(layer.weight)
    with torch.no_grad():
        layer.weight[3] *= 1e-2
    module = nn.Sequential(norm(layer))
    before = module[0].weight.detach().clone()
    result = laconic.compress(module, laconic.Budget(bits=3))
    assert result.weak == (("0.weight", -math.inf),)  # a direction of 0 has no length
    assert torch.equal(module[0].weight, before)
    finer = laconic.compress(module, laconic.Budget(bits=12))
    module.load_state_dict(finer.params)
    module(torch.zeros(1, 64))  # a hook makes it anew
    error = (module[0].weight - before).square().sum() / before.square().sum()
    assert finer.signals["0.weight"].snr == pytest.approx(-10 * error.log10().item(), abs=1e-3)


def test_of_what_training_has_moved_only_ruin_is_told():
    old = drawn(4, 4).numpy()
    assert Signal.of(-old, old, moved=True).snr == math.inf
    assert Signal.of(0 * old, old, moved=True).snr == 0
    assert Signal.of(old * math.inf, old, moved=True).snr == -math.inf
    assert Signal.of(0 * old, 0 * old, moved=True).snr == math.inf


# --- steps -----------------------------------------------------------------------------------------


def own(given: dict[str, torch.Tensor], result: laconic.Result) -> dict[str, float]:
    """Return the dB of each tensor, its largest weight apart."""
    found = {}
    for name, weights in given.items():
        kept = torch.ones(weights.numel(), dtype=torch.bool)
        kept[weights.abs().argmax()] = False
        before, after = (tensor.double().reshape(-1)[kept] for tensor in (weights, result.params[name]))
        found[name] = (10 * (before.square().sum() / (after - before).square().sum()).log10()).item()
    return found


def layers(**scales: float) -> dict[str, torch.Tensor]:
    """Return matrices and kernels whose weights are so large."""
    shapes = [(60, 90), (50, 60), (24, 16, 3, 3)]
    return {name: drawn(*shapes[place % 3], seed=place) * scale for place, (name, scale) in enumerate(scales.items())}


@pytest.mark.parametrize("bits", [2.0, 4.0])
@pytest.mark.parametrize("quality", ["fast", "default"])
def test_no_tensor_is_wiped_out_because_another_is_large(bits: float, quality: str):
    given = layers(large=30.0, small=1 / 30, smaller=1e-4, smallest=1e-25)
    result = laconic.compress(given, laconic.Budget(bits=bits), quality=quality)
    each = own(given, result)
    assert min(each.values()) > 6
    assert min(each.values()) > max(each.values()) - 10
    assert 0.99 * bits < result.fitted.bits_per_weight <= bits


def test_one_step_is_for_all_where_none_is_near_its_floor():
    result = laconic.compress(layers(a=1.0, b=0.8, c=1.3), laconic.Budget(bits=3))
    steps = {id(code.step) for code in result.codes.values()}
    assert len(steps) == 1
    lifted = laconic.compress(layers(a=1.0, b=0.1, c=1.3), laconic.Budget(bits=3))
    assert len({id(code.step) for code in lifted.codes.values()}) == 2
    below_a_bit = laconic.compress(layers(a=1.0, b=0.1, c=1.3), laconic.Budget(bits=0.3))
    assert len({id(code.step) for code in below_a_bit.codes.values()}) == 1


@pytest.mark.parametrize("factor", [1e3, 1e30])
def test_an_outlier_costs_the_others_less_than_half_a_decibel(factor: float):
    given = layers(a=1.0, b=0.7, c=1.2)
    spoilt = {name: tensor.clone() for name, tensor in given.items()}
    spoilt["b"][7, 8] = factor
    plain, result = (laconic.compress(net, laconic.Budget(bits=3)) for net in (given, spoilt))
    assert result.file_bytes <= 3 * sum(tensor.numel() for tensor in given.values()) / 8
    assert result.params["b"][7, 8] == pytest.approx(factor)
    for name, snr in own(spoilt, result).items():
        assert snr > own(given, plain)[name] - 0.5
        assert result.signals[name].snr == pytest.approx(snr, abs=0.1)  # the outlier is no signal


def test_tied_names_of_a_tensor_with_an_outlier_stay_within_a_size():
    table = drawn(60, 40)
    table[3, 4] = 1e6
    result = laconic.compress({f"{place}.weight": table for place in range(6)}, laconic.Budget(bits=5))
    assert 0.97 * 1500 < result.file_bytes <= 1500


def test_an_snr_is_one_of_the_weights_that_are_no_outliers():
    given = layers(a=1.0, b=0.7)
    given["b"][7, 8] = 1e9
    result = laconic.compress(given, laconic.Budget(snr=15))
    assert all(snr > 12 for snr in own(given, result).values())
    shares = result.signals.values()
    assert 15 <= 10 * math.log10(sum(s.energy for s in shares) / sum(s.lost for s in shares)) < 15.1
