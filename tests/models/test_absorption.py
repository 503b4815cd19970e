"""Statistics in scale and shift: the same outputs, names and shapes, whatever the normalization and its numbers."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import generator

from laconic.errors import WeightsError
from laconic.models.absorption import Absorbed, absorbed
from laconic.models.params import call, params_of

NORMS = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}


def drawn(norm: torch.nn.Module, seed: int) -> torch.nn.Module:
    source = generator(seed)
    with torch.no_grad():
        for name, tensor in norm.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=source) * 4 + 1e-3)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=source))
    return norm


@settings(max_examples=40)
@given(
    axes=st.sampled_from([1, 2, 3]),
    eps=st.sampled_from([0.0, 1e-5, 1e-3, 0.7]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
    inner=st.booleans(),
)
def test_outputs_names_shapes_and_types_stay_and_twice_is_once(axes, eps, dtype, seed, inner):
    norm = drawn(NORMS[axes](6, eps=eps), seed)
    net = (torch.nn.Sequential(norm, torch.nn.Tanh(), norm) if inner else norm).to(dtype).eval()
    params, name = params_of(net), "0" if inner else ""
    before = copy.deepcopy(params)
    new, found = absorbed(net, params, {})
    assert found == Absorbed((name,), {})
    assert {k: (t.shape, t.dtype) for k, t in new.items()} == {k: (t.shape, t.dtype) for k, t in before.items()}
    assert all(torch.equal(tensor, params[key]) for key, tensor in before.items())
    inputs = torch.randn([3, 6, *[4] * (axes - (axes == 1))], generator=generator(7)).to(dtype)
    wanted, got = (call(net, own, (inputs,), {}) for own in (params, new))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    prefix = "0." if inner else ""
    assert not new[prefix + "running_mean"].any()
    assert len(new[prefix + "running_var"].unique()) == 1
    again, _ = absorbed(net, new, {})
    assert all(torch.equal(tensor, again[key]) for key, tensor in new.items())


def test_what_cannot_be_is_left_with_its_reason():
    shared = torch.nn.BatchNorm1d(4)
    net = torch.nn.ModuleDict(
        {
            "no affine": torch.nn.BatchNorm1d(4, affine=False),
            "no statistics": torch.nn.BatchNorm1d(4, track_running_stats=False),
            "negative": torch.nn.BatchNorm1d(4),
            "one": shared,
            "other": torch.nn.BatchNorm1d(4),
            "asked": torch.nn.BatchNorm1d(4),
            "fine": torch.nn.BatchNorm1d(4),
        }
    )
    net["other"].weight = shared.weight
    net["negative"].running_var[0] = -1
    params = params_of(net)
    new, found = absorbed(net, params, {"asked": "because"})
    assert found.norms == ("fine",)
    assert found.left["asked"] == "because"
    assert "lacks weight, bias" in found.left["no affine"]
    assert "lacks running_mean, running_var" in found.left["no statistics"]
    assert "variance of 0 or less" in found.left["negative"]
    assert found.left["one"] == found.left["other"] == "shares weight with another part of the network"
    assert {key.rpartition(".")[0] for key in new if not torch.equal(new[key], params[key])} <= {"fine"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda params: params.pop("0.weight"), "lack 0.weight"),
        (lambda params: params.update({"0.bias": torch.zeros(3)}), r"0.bias: the module's shape is \(4,\), not \(3,\)"),
        (lambda params: params["0.running_mean"].fill_(torch.nan), "0.running_mean.*NaN or infinite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(change, words):
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
    params = {name: tensor.clone() for name, tensor in params_of(net).items()}
    change(params)
    with pytest.raises(WeightsError, match=words):
        absorbed(net, params, {})
