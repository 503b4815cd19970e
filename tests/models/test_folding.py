"""Batch normalization in the layer before it: the same outputs, names and shapes, whatever the layer and the norm."""

import copy
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from toys import generator

from laconic.errors import DataError, WeightsError
from laconic.models.folding import Folding, foldable, folded
from laconic.models.nets.resnet import ResNet
from laconic.models.params import all_params_of, apply_to, call, params_of

LAYERS: dict[str, tuple[Callable[..., nn.Module], type[nn.Module], tuple[int, ...]]] = {
    "linear": (nn.Linear, nn.BatchNorm1d, (7, 4)),
    "conv1": (partial(nn.Conv1d, kernel_size=2), nn.BatchNorm1d, (3, 4, 5)),
    "conv2": (partial(nn.Conv2d, kernel_size=3, padding=1), nn.BatchNorm2d, (2, 4, 4, 5)),
    "grouped": (partial(nn.Conv2d, kernel_size=2, groups=2, padding_mode="circular"), nn.BatchNorm2d, (2, 4, 4, 5)),
    "conv3": (partial(nn.Conv3d, kernel_size=2), nn.BatchNorm3d, (2, 4, 3, 2, 2)),
    "transposed": (partial(nn.ConvTranspose2d, kernel_size=2), nn.BatchNorm2d, (2, 4, 3, 3)),
    "transposed grouped": (partial(nn.ConvTranspose1d, kernel_size=3, groups=2), nn.BatchNorm1d, (2, 4, 5)),
    "synchronized": (partial(nn.Conv2d, kernel_size=1), nn.SyncBatchNorm, (2, 4, 3, 3)),
}


def drawn(net: nn.Module, seed: int = 0) -> nn.Module:
    """Random numbers in all tensors: scales of both signs and of 0, variances from nearly none to large."""
    source = generator(seed)
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=source)
            if name.endswith("running_var"):
                drawn = torch.rand(tensor.shape, generator=source) * 4 + 1e-3
            tensor.copy_(drawn)
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.weight is not None:
            part.weight.data[0] = 0
    return net


def running(net: nn.Module, *inputs: Tensor) -> Callable[[Any], Any]:
    return lambda params: call(net, params, inputs, {})


def batch(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(9))


@settings(max_examples=60)
@given(
    kind=st.sampled_from(sorted(LAYERS)),
    bias=st.booleans(),
    norm=st.sampled_from(["scale and shift", "scale", "neither"]),
    eps=st.sampled_from([1e-5, 1e-3, 0.7]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_outputs_names_shapes_and_types_stay(kind, bias, norm, eps, dtype, seed):
    make, make_norm, shape = LAYERS[kind]
    net = nn.Sequential(make(4, 6, bias=bias), make_norm(6, eps=eps, affine=norm != "neither"), nn.Hardtanh())
    if norm == "scale":
        net[1].register_parameter("bias", None)
    net = drawn(net, seed).to(dtype)
    inputs, params = batch(*shape).to(dtype), params_of(net)
    before = {name: tensor.clone() for name, tensor in params.items()}
    found = foldable(net, params, running(net, inputs))
    assert (found.pairs, found.left) == ({"1": "0"}, {})
    new = folded(net, params, found.pairs)
    assert {k: (t.shape, t.dtype) for k, t in new.items()} == {k: (t.shape, t.dtype) for k, t in before.items()}
    assert all(tensor.equal(before[name]) for name, tensor in params.items())
    assert all(part.training for part in net.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    constants = {"1.running_var": torch.tensor(1 - eps, dtype=torch.float64).to(dtype)}
    constants |= {"1.weight": 1} if norm != "neither" else {}
    constants |= {"0.bias": 0} if bias and norm == "scale and shift" else {}
    constants |= {"1.running_mean": 0} if bias or norm == "scale and shift" else {}
    assert all((new[name] == value).all() for name, value in constants.items())
    again = folded(net, new, foldable(net, new, running(net, inputs)).pairs)
    assert all(tensor.equal(new[name]) for name, tensor in again.items())
    half = torch.finfo(dtype).eps / 2 * (1 + 1e-9)
    for one, other in zip(line_of(net, before), line_of(net, new), strict=True):
        assert ((one - other).abs() <= half * one.abs() + 1e-12).all(), "one rounding, and no more"
    if dtype == torch.float64:
        apply_to(other := copy.deepcopy(net), new)
        torch.testing.assert_close(other.eval()(inputs), net.eval()(inputs), rtol=1e-10, atol=1e-10)


def line_of(net: Any, params: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Weight and shift of a layer and its normalization together, float64, a channel at a time."""
    wide = {name: tensor.double() for name, tensor in params.items()}
    weight, rows, shifts = wide["0.weight"], [], []
    inputs, per_group = len(weight) // getattr(net[0], "groups", 1), weight.shape[1]
    for channel in range(net[1].num_features):
        if isinstance(net[0], nn.modules.conv._ConvTransposeNd):
            first = channel // per_group * inputs
            row = weight[first : first + inputs, channel % per_group]
        else:
            row = weight[channel]
        own = {name: tensor[channel] for name, tensor in wide.items() if tensor.ndim == 1}
        scale = own.get("1.weight", 1) / (own["1.running_var"] + net[1].eps) ** 0.5
        rows.append(row * scale)
        shifts.append(scale * (own.get("0.bias", 0) - own["1.running_mean"]) + own.get("1.bias", 0))
    return torch.stack(rows), torch.stack(shifts)


def test_a_residual_network_has_all_of_its_normalizations_folded():
    net = drawn(ResNet((3, 8, 8), 10, 1))
    found = foldable(nn.DataParallel(net), params_of(net), running(net, batch(4, 3, 8, 8)))
    norms = [name for name, part in net.named_modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms) == 7
    assert found.pairs == {name: name.replace("bn", "conv") for name in norms}
    assert found.left == {}
    assert 0 < found.difference < 1e-5


# --- what is left alone -----------------------------------------------------------------------------


class Net(nn.Module):
    """A layer, a normalization, another of each, and a function of the four."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.bn, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        for name, part in parts.items():
            setattr(self, name, part)
        self._function = forward

    def forward(self, inputs: Tensor) -> Any:
        return self._function(self, inputs)


class Standardized(nn.Conv2d):
    """A convolution that takes the scale out of its weight: what is folded into it is lost."""

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.weight / (self.weight.std((1, 2, 3), keepdim=True) + 1e-3)
        return nn.functional.conv2d(inputs, weight, self.bias)


class Stubborn(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)


def chain(net: Any, inputs: Tensor) -> Tensor:
    return net.second(net.other(torch.relu(net.bn(net.conv(inputs)))))


def residual(net: Any, inputs: Tensor) -> Tensor:
    written = net.conv(inputs)
    return net.second(net.other(net.bn(written) + 1e-9 * written))


def returned(net: Any, inputs: Tensor) -> dict[str, Any]:
    written = net.conv(inputs)
    return {"main": net.second(net.other(net.bn(written))), "beside": (written,)}


def read_twice(net: Any, inputs: Tensor) -> Tensor:
    written = net.conv(inputs)
    return net.bn(written) * net.second(written)


def rectified_in_place(net: Any, inputs: Tensor) -> Tensor:
    return net.second(net.other(net.bn(net.conv(inputs).relu_())))


def tied(net: Net) -> Net:
    net.other.weight = net.conv.weight
    return net


def pruned(net: Net) -> Net:
    prune.random_unstructured(net.conv, "weight", 0.3)
    return net


BN, BOTH = {"bn"}, {"bn", "second"}
LEFT: dict[str, tuple[Callable[[], nn.Module], set[str], str]] = {
    "a residual reads the layer": (lambda: Net(residual), BN, r"reads conv, as does something else: aten\.mul"),
    "the layer's output is one": (lambda: Net(returned), BN, "something else: whoever takes the outputs"),
    "two normalizations read one layer": (
        lambda: Net(read_twice),
        BOTH,
        "reads conv, as does something else: (second|bn)",
    ),
    "changed in place": (lambda: Net(rectified_in_place), BN, r"something else: aten\.relu_"),
    "a layer that runs twice": (
        lambda: Net(lambda net, x: chain(net, net.conv(x))),
        BN,
        "reads conv, which runs 2 times",
    ),
    "a normalization that runs twice": (lambda: Net(lambda net, x: net.bn(chain(net, x))), BN, "runs 2 times"),
    "one that does not run": (lambda: Net(lambda net, x: net.second(net.other(x))), BN, "runs 0 times"),
    "one that reads no layer": (lambda: Net(chain, conv=nn.Tanh()), BN, "reads no output of a linear layer or conv"),
    "along another axis": (
        lambda: Net(lambda net, x: net.bn(net.conv(x[:, 0])), conv=nn.Linear(6, 6), bn=nn.BatchNorm1d(6)),
        BOTH,
        "reads conv along an axis|runs 0 times",
    ),
    "without statistics": (lambda: Net(chain, bn=nn.BatchNorm2d(3, track_running_stats=False)), BN, "no running stat"),
    "always in training": (lambda: Net(chain, bn=Stubborn(3)), BN, "evaluation mode"),
    "one weight for two layers": (
        lambda: tied(Net(chain)),
        BOTH,
        r"needs (conv|other)\.weight, which another part has",
    ),
    "a weight that is made": (
        lambda: Net(chain, conv=parametrizations.weight_norm(nn.Conv2d(3, 3, 1))),
        BN,
        r"needs conv\.weight, which is made",
    ),
    "a weight under a mask": (lambda: pruned(Net(chain)), BN, r"needs conv\.weight, which is made"),
    "a weight that is changed within": (lambda: Net(chain, conv=Standardized(3, 3, 1)), BN, r"moves the outputs by \d"),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_folded_is_left_and_named(case):
    make, norms, why = LEFT[case]
    net = drawn(make())
    outputs = running(net, batch(4, 3, 6, 6))
    found = foldable(net, params_of(net), outputs)
    assert found.left.keys() == norms
    assert found.pairs == {name: part for name, part in [("bn", "conv"), ("second", "other")] if name not in norms}
    assert all(re.search(why, reason) for reason in found.left.values()), found.left
    new = folded(net, params_of(net), found.pairs)
    net.eval()
    torch.testing.assert_close(outputs(new), outputs(params_of(net)), rtol=1e-5, atol=1e-4)


def test_layers_that_no_run_gives_away_are_found_among_others_by_what_they_do():
    layers = [nn.Conv2d, Standardized, nn.Conv2d, nn.Conv2d, nn.Conv2d, Standardized, nn.Conv2d]
    net = drawn(nn.Sequential(*(part for layer in layers for part in (layer(3, 3, 3, padding=1), nn.BatchNorm2d(3)))))
    outputs = running(net, batch(4, 3, 6, 6))
    found = foldable(net, params_of(net), lambda params: nn.functional.pad(outputs(params), (0, 1), value=-torch.inf))
    assert found.left.keys() == {"3", "11"}
    assert found.pairs == {str(at + 1): str(at) for at in (0, 4, 6, 8, 12)}
    assert found.difference < 1e-5


def test_a_network_that_makes_much_of_a_rounding_has_pairs_nevertheless():
    """The fold is as good as any rounding, and no error passes for one."""
    net = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Linear(16, 1), Amplified())
    net = drawn(net)
    found = foldable(net, params_of(net), running(net, batch(5, 16)))
    assert found.difference > 1e-5
    assert found.pairs == {"1": "0"}
    net[0] = drawn(Cube(16, 16))
    assert foldable(net, params_of(net), running(net, batch(5, 16))).left.keys() == {"1"}


class Amplified(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs * 1e3).sin()


class Cube(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(inputs, self.weight**3, self.bias)


def test_what_is_past_the_range_of_a_type_is_left_and_refused():
    net = drawn(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))).half()
    net[1].running_var.fill_(0)
    net[0].weight.data.fill_(600)
    params = params_of(net)
    assert "out of range 0.weight (float16)" in foldable(net, params, running(net, batch(3, 2).half() / 99)).left["1"]
    with pytest.raises(WeightsError, match=r"1 cannot be folded into 0, .* out of range 0\.weight \(float16\)"):
        folded(net, params, {"1": "0"})
    params["1.running_var"] = torch.tensor([-1.0, 1.0]).half()
    with pytest.raises(WeightsError, match="variance of 0 or less"):
        folded(net, params, {"1": "0"})


# --- names, buffers, bad input ----------------------------------------------------------------------


def test_a_layer_at_two_places_is_folded_under_both_of_its_names():
    net = Net(chain)
    net.again = nn.ModuleList([net.conv, net.bn])
    params = {name: tensor.clone() for name, tensor in all_params_of(drawn(net)).items()}
    found = foldable(net, params, running(net, batch(4, 3, 6, 6)))
    assert found.pairs == {"bn": "conv", "second": "other"}
    new = folded(net, params, found.pairs)
    assert not new["conv.weight"].equal(params["conv.weight"])
    assert new["again.0.weight"].equal(new["conv.weight"])
    assert new["again.1.running_var"].equal(new["bn.running_var"])
    assert folded(net, {k: t for k, t in params.items() if not k.startswith("conv")}, found.pairs).keys() < new.keys()


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.tensor(0.0))

    def forward(self, inputs: Tensor) -> Tensor:
        self.runs += 1
        return inputs * self.runs


def test_what_a_network_counts_in_stays_as_it_was():
    net = drawn(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), Counting()))
    params = params_of(net)
    before = {name: tensor.clone() for name, tensor in params.items()}
    assert foldable(net, params, running(net, batch(3, 2))).pairs == {"1": "0"}
    assert all(tensor.equal(before[name]) for name, tensor in params.items())


def test_a_network_without_normalization():
    net = nn.Linear(2, 2)
    assert foldable(net, params_of(net), running(net, batch(3, 2))) == Folding({}, {}, 0.0)


@pytest.mark.parametrize("name", ["conv.weight", "bn.running_mean"])
def test_bad_weights_are_named(name):
    net = drawn(Net(chain))
    params, outputs = params_of(net), running(net, batch(4, 3, 6, 6))
    bad = {**params, name: params[name] * float("nan")}
    with pytest.raises(WeightsError, match=f"{name}: .* NaN"):
        foldable(net, bad, outputs)
    with pytest.raises(WeightsError, match=f"{name}: .* NaN"):
        folded(net, bad, {"bn": "conv"})
    with pytest.raises(WeightsError, match=f"{name}: the module's shape is .*, not "):
        folded(net, {**params, name: params[name][:2]}, {"bn": "conv"})
    with pytest.raises(WeightsError, match=f"the weights lack {name}"):
        folded(net, {other: tensor for other, tensor in params.items() if other != name}, {"bn": "conv"})
    for pair in ({"conv": "bn"}, {"bn": "nobody"}):
        with pytest.raises(WeightsError, match="no normalization of the module"):
            folded(net, params, pair)


def test_outputs_that_cannot_be_compared():
    net = drawn(Net(chain))
    params, inputs = params_of(net), batch(4, 3, 6, 6)
    with pytest.raises(DataError, match="of the 2 output tensors number 1 hold NaN"):
        foldable(net, params, lambda given: (call(net, given, (inputs,), {}), [inputs.log()]))
    with pytest.raises(DataError, match="no tensor of floats"):
        foldable(net, params, lambda given: call(net, given, (inputs,), {}).argmax(1))
    with pytest.raises(DataError, match="two runs with the same weights differ by"):
        foldable(net, params, lambda given: call(net, given, (torch.rand(4, 3, 6, 6),), {}))


@pytest.mark.parametrize(
    "returned", [(torch.ones(2), torch.ones(3)), (torch.zeros(2), torch.ones(2))], ids=["shape", "0"]
)
def test_outputs_that_change_without_end(returned):
    net, turns = drawn(Net(chain)), iter((returned[0], *returned[1:] * 9))
    outputs = running(net, batch(4, 3, 6, 6))
    with pytest.raises(DataError, match="differ by inf"):
        foldable(net, params_of(net), lambda given: (outputs(given), next(turns)))


def test_numbers_of_16_bits_move_outputs_by_a_hundredth():
    net, runs = drawn(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))).bfloat16(), []
    outputs = running(net, batch(5, 4).bfloat16())
    found = foldable(net, params_of(net), lambda given: runs.append(given) or outputs(given).float())
    assert (len(runs), found.pairs) == (2, {"1": "0"})
    assert 1e-5 < found.difference < 1e-2


def test_a_run_that_fails_leaves_the_module_as_it_was():
    net = Net(lambda net, inputs: net.bn(net.conv(inputs)).nothing)
    net.second.eval()
    with pytest.raises(AttributeError, match="nothing"):
        foldable(net, params_of(net), running(net, batch(4, 3, 6, 6)))
    assert [name for name, part in net.named_modules() if not part.training] == ["second"]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
