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
