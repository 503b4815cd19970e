"""Networks of strangers: weights of no layer, no gradients, odd vectors, forwards with side effects."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import laconic

X = torch.randn(300, 20, generator=torch.Generator().manual_seed(0))


def lost(module: nn.Module, result: laconic.Result) -> float:
    """The squared difference of outputs over their variance."""
    with torch.no_grad():
        before = module(X.clone())
        after = torch.func.functional_call(module, dict(result.params), (X.clone(),))
    return float((after - before).square().sum() / (before - before.mean(0)).square().sum())


class Halved(nn.Module):
    """The first layer runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(20, 100), nn.Linear(100, 8)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = self.a(x).relu()
        return self.b(hidden)


def weight_normed() -> nn.Module:
    normed = parametrizations.weight_norm
    return nn.Sequential(nn.Linear(20, 60), nn.ReLU(), normed(nn.Linear(60, 60)), nn.ReLU(), normed(nn.Linear(60, 8)))


def transposed() -> nn.Module:
    convolution = nn.ConvTranspose1d(10, 16, 4, stride=2, groups=2)
    return nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Unflatten(1, (10, 5)), convolution, nn.Flatten())


@pytest.mark.parametrize("make", [Halved, weight_normed, transposed])
def test_what_nothing_is_known_of_is_worth_what_others_are(make):
    """Calibration then loses less than weights alone do, whose worth nobody asks about either."""
    torch.manual_seed(0)
    module = make().eval()
    ours = laconic.compress(module, bits=3.5, effort="calibrate", calibration=X, quality="fast")
    plain = laconic.compress(module, size=ours.file_bytes)
    assert lost(module, ours) < 0.8 * lost(module, plain)


@pytest.mark.parametrize("huge", [1e9, 1e20, 1e30])
def test_one_huge_number_of_a_vector_does_not_become_another(huge: float):
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.v, self.b = nn.Linear(20, 100), nn.Parameter(torch.randn(100)), nn.Linear(100, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).relu() * torch.cat([self.v[:99], self.v[:1]]))

    torch.manual_seed(0)
    module, gated = Padded(), nn.GRU(20, 16, batch_first=True)
    module.v.data[99] = gated.bias_hh_l0.data[5] = huge
    gated.forward = lambda x, run=gated.forward: run(x)[0]
    for net, name, place, samples in ((module, "v", 99, X), (gated, "bias_hh_l0", 5, X[:, None])):
        result = laconic.compress(net, bits=4, effort="calibrate", calibration=samples, quality="fast")
        assert float(result.params[name][place]) == pytest.approx(huge, rel=1e-3)


def test_a_file_whose_outputs_are_nan_is_refused():
    class Divided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.w = nn.Linear(20, 60), nn.Parameter(torch.full((60, 8), 1e-30) * torch.randn(60, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) @ (self.w / self.w.norm(dim=0).where(self.w.norm(dim=0) > 0, torch.nan))

    torch.manual_seed(0)
    with pytest.raises(laconic.LaconicError, match=r"NaN|not met"):
        laconic.compress(Divided(), size=700, effort="calibrate", calibration=X, quality="fast")


def test_samples_stay_the_callers_and_random_outputs_are_said():
    class Careless(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.dropout(x.mul_(2.0), 0.3))

    torch.manual_seed(0)
    samples, module = X.clone(), Careless(nn.Linear(20, 60), nn.ReLU(), nn.Linear(60, 8))
    result = laconic.compress(module, bits=4, effort="calibrate", calibration=samples, quality="fast")
    assert torch.equal(samples, X)
    assert any("differ from call to call" in note for note in result.calibration.notes)


def mixed_units() -> tuple[nn.Module, Tensor]:
    """Some inputs are a thousandth of the others, and matter as much."""
    module, units = nn.Sequential(nn.Linear(20, 120), nn.ReLU(), nn.Linear(120, 8)), torch.ones(20)
    units[::3] = 1e-3
    with torch.no_grad():
        module[0].weight.div_(units)
    return module, X * units


def loud(factor: float) -> tuple[nn.Module, Tensor]:
    """The outputs are in a unit of their own."""
    module = nn.Sequential(nn.Linear(20, 120), nn.ReLU(), nn.Linear(120, 8))
    with torch.no_grad():
        module[2].weight.mul_(factor)
        module[2].bias.mul_(factor)
    return module, X


def few() -> tuple[nn.Module, Tensor]:
    """Fewer samples than a layer has inputs, which are not alike."""
    return nn.Sequential(nn.Linear(200, 60), nn.ReLU(), nn.Linear(60, 8)), torch.randn(130, 200)


@pytest.mark.parametrize("make", [mixed_units, lambda: loud(1e8), lambda: loud(1e15), lambda: loud(1e-12), few])
def test_units_and_few_samples_do_not_mislead(make):
    torch.manual_seed(0)
    module, samples = make()
    ours = laconic.compress(module, bits=3.0, effort="calibrate", calibration=samples, quality="fast")
    plain = laconic.compress(module, size=ours.file_bytes)
    inputs = torch.randn(300, 200) if samples.shape[1] == 200 else samples
    apart = []
    for result in (ours, plain):
        with torch.no_grad():
            before = module(inputs).double()
            after = torch.func.functional_call(module, dict(result.params), (inputs,)).double()
        apart.append(float((after - before).square().sum() / (before - before.mean(0)).square().sum()))
    assert apart[0] < 1.05 * apart[1]


def test_gradients_that_are_not_finite_are_left_out():
    class Rooted(nn.Module):
        """Its gradient is infinite at 0, and NaN before."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(20, 100, bias=False), nn.Linear(100, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).abs().sqrt())

    torch.manual_seed(0)
    module, padded = Rooted(), X.clone()
    padded[7] = 0
    found = laconic.compress(module, bits=4.0, effort="calibrate", calibration=list(padded.split(64)), quality="fast")
    assert lost(module, found) < lost(module, laconic.compress(module, size=found.file_bytes))
    assert not any("no gradient" in note for note in found.calibration.notes)


def test_inputs_that_never_change_are_said():
    module = nn.Sequential(nn.Linear(20, 60), nn.ReLU(), nn.Linear(60, 8))
    found = laconic.compress(module, bits=3.0, effort="calibrate", calibration=torch.ones(40, 20), quality="fast")
    assert any("does not vary" in note for note in found.calibration.notes)
