"""A network rewritten as a compact one: what is separable stays what it was, and the rest is as near as it can be."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import laconic
from laconic import Groups, KeepGroups, Plan
from laconic.calibrate.calibration import Calibration
from laconic.deploy.compact import KINDS, Compact, compact, why_not
from laconic.deploy.edits import Edits
from laconic.deploy.flattened import flattened
from laconic.deploy.narrowing import narrow
from laconic.deploy.refitting import Met, refitted
from laconic.deploy.separable import separable
from laconic.deploy.through import through
from laconic.errors import DataError, PlanError, WeightsError
from laconic.models.counting import counted
from laconic.models.params import apply_to

RNG = torch.Generator().manual_seed(0)


def drawn(*shape):
    return torch.randn(shape, generator=RNG)


def moments(size):
    """Second moments that are far from the identity."""
    mixed = drawn(4 * size, size).double() @ drawn(size, size).double()
    return mixed.T @ mixed / len(mixed)


def separate(layer):
    """Give a convolution kernels that a depthwise and a pointwise one make."""
    with torch.no_grad():
        out, in_, *kernel = layer.weight.shape
        layer.weight.copy_(drawn(out, in_, *[1] * len(kernel)) * drawn(1, in_, *kernel))
    return layer


LAYERS = {
    "plain": (lambda: nn.Conv2d(3, 5, 3, padding=1), (3, 7, 6)),
    "odd": (lambda: nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(0, 2), dilation=(2, 1), bias=False), (3, 9, 6)),
    "circular": (lambda: nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), (2, 5, 5)),
    "same": (lambda: nn.Conv2d(2, 4, (4, 3), padding="same", dilation=2), (2, 6, 6)),
    "1d": (lambda: nn.Conv1d(4, 3, 5, stride=2), (4, 11)),
    "3d": (lambda: nn.Conv3d(2, 3, 2, padding=1), (2, 3, 4, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("met", [False, True])
def test_a_separable_kernel_is_rewritten_without_error(name, met):
    make, shape = LAYERS[name]
    layer, inputs = separate(make()), drawn(2, *shape)
    size = layer.weight[0].numel()
    made, error = refitted(layer, ("separable", (1,)), Met(moments(size), torch.zeros(size).double()) if met else None)
    assert error < 1e-9
    assert torch.allclose(made(inputs), layer(inputs), atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_at_full_rank_every_kernel_is(name):
    make, shape = LAYERS[name]
    layer, inputs = make(), drawn(2, *shape)
    rank = min(len(layer.weight), layer.weight[0, 0].numel())
    made, error = refitted(layer, ("separable", (rank,)), None)
    assert error < 1e-9
    assert torch.allclose(made(inputs), layer(inputs), atol=1e-4)
    assert "at most" in why_not(layer, "separable", (rank + 1,))


def test_with_all_inputs_alike_each_channel_is_a_truncated_svd():
    weight = drawn(6, 4, 9).double()
    for rank in (1, 3):
        d, p = separable(weight, rank)
        for i in range(4):
            left, values, right = np.linalg.svd(weight[:, i].numpy(), full_matrices=False)
            best = (left[:, :rank] * values[:rank]) @ right[:rank]
            assert (p[:, i] @ d[i]).numpy() == pytest.approx(best, abs=1e-9)


def lost(weight, d, p, sigma):
    rest = (weight - torch.einsum("oir,iru->oiu", p, d)).flatten(1)
    return torch.trace(rest @ sigma @ rest.T)


def twin(weight, sigma, d, p):
    """The error at the end of a general optimizer over all numbers at once: slow, and it knows no structure."""
    free = [part.clone(memory_format=torch.contiguous_format).requires_grad_() for part in (d, p)]
    search = torch.optim.LBFGS(free, max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure():
        search.zero_grad()
        loss = lost(weight, *free, sigma)
        loss.backward()
        return loss

    search.step(closure)
    return float(lost(weight, *free, sigma).detach())


@pytest.mark.parametrize("rank", [1, 2])
def test_under_moments_a_general_optimizer_finds_nothing_better_from_there(rank):
    """A local minimum, and not above what all inputs alike give."""
    weight, sigma = drawn(4, 3, 4).double(), moments(12)
    found = separable(weight, rank, sigma)
    plain, weighed = (float(lost(weight, *of, sigma)) for of in (separable(weight, rank), found))
    assert weighed < plain
    assert weighed <= 1.01 * twin(weight, sigma, *found)


def test_least_squares_through_what_is_seen_are_those_of_the_samples():
    """The twin solves for the very samples whose moments are given."""
    weight, seen, samples = drawn(3, 8).double(), drawn(2, 8).double(), drawn(50, 8).double() @ drawn(8, 8).double()
    found = through(weight, seen, samples.T @ samples / 50)
    best = torch.linalg.lstsq(samples @ seen.T, samples @ weight.T).solution.T
    assert torch.allclose(found, best)


def test_one_tap_alone_keeps_its_weights_and_a_mean_gets_the_sum_of_a_map():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    made, _ = refitted(layer, ("pointwise", ()), None)
    assert torch.allclose(made[0].weight[:, :, 0, 0], layer.weight[:, :, 1, 1])
    dense = nn.Linear(12, 5)
    pooled, _ = refitted(dense, ("pooled", (4,)), None)
    constant = drawn(2, 3, 1).expand(2, 3, 4).flatten(1)
    assert torch.allclose(pooled(constant), dense(constant), atol=1e-5), "maps that do not vary lose nothing"


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_one_tap_alone_is_refused_where_it_would_write_maps_of_another_size(mode):
    for padding, dilation in ((0, 1), (1, 1), (2, 1), (2, 2), ((1, 0), 1), ("same", 2)):
        layer, inputs = nn.Conv2d(3, 4, 3, padding=padding, dilation=dilation, padding_mode=mode), drawn(1, 3, 7, 7)
        alike = compact(layer, "pointwise", ())(inputs).shape == layer(inputs).shape
        assert (why_not(layer, "pointwise", ()) == "") is alike, (padding, dilation)
    assert "even sides" in why_not(nn.Conv2d(3, 4, 2, padding="same", padding_mode=mode), "pointwise", ())


class Net(nn.Module):
    """Convolutions of every kind, and a head on flattened maps."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 16, 5, stride=2, padding=2)
        self.skip = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.split, self.one = nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.Conv2d(16, 16, 1)
        self.head, self.last = nn.Linear(16 * 16, 12), nn.Linear(12, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(self.wide(x) + self.skip(x))
        x = nn.functional.dropout(torch.relu(self.one(self.split(x))).flatten(1), training=self.training)
        return self.last(torch.relu(self.head(x)))


def images(count=32):
    return drawn(count, 3, 8, 8) + drawn(count, 3, 1, 1)


@pytest.fixture(scope="module")
def small():
    net = Net().eval()
    net(images())
    return laconic.rewrite(net, images(), pointwise="skip")


def far(one, other, inputs):
    with torch.no_grad():
        return float((one.eval()(inputs) - other.eval()(inputs)).abs().max())


def test_a_network_has_the_multiply_adds_of_the_closed_forms(small):
    """64 positions of the stem, 16 of the others."""
    assert {row.name: row.kind for row in small.layers} == {
        "stem": "separable", "wide": "separable", "skip": "pointwise", "head": "pooled",
    }  # fmt: skip
    rest = 16 * (16 * 16 * 9 // 4) + 16 * 16 * 16 + 12 * 4
    before = 64 * 3 * 8 * 9 + 16 * 8 * 16 * (25 + 9) + rest + 256 * 12
    after = 64 * 3 * (9 + 8) + 16 * 8 * (25 + 16) + 16 * 8 * 16 + rest + 16 * 12
    assert small.multiply_adds == (before, after)
    assert int(counted(small.module, lambda: small.module(images(1))).multiply_adds) == after
    assert [row.weights for row in small.layers] == [(216, 51), (3200, 328), (1152, 128), (3072, 192)]


def test_what_stays_is_named_with_the_reason(small):
    why = dict(small.left)
    assert why.keys() == {"split", "one", "last"}
    assert "4 groups already" in why["split"]
    assert "one tap already" in why["one"]
    assert "no flattened map" in why["last"]


def test_a_fresh_network_of_the_class_becomes_alike_from_the_file(small, tmp_path):
    small.save(tmp_path / "net.lac")
    loaded = laconic.load(tmp_path / "net.lac", Net())
    assert far(loaded, small.module, images(4)) == 0
    assert laconic.load(tmp_path / "net.lac", loaded) is loaded, "what is so already stays so"
    result = laconic.compress(small.module, bits=8, metadata=small.metadata)
    for network in (Net(), copy.deepcopy(small.module)):
        assert far(result.apply_to(network), result.module(Net()), images(4)) < 1e-5


def test_what_was_rewritten_is_rewritten_again_pruned_and_shrunk(small, tmp_path):
    again = laconic.rewrite(laconic.rewrite(Net(), images(), separable="wide", pooled="").module, images())
    assert narrow(Net(), Edits(rewritten={"wide": ("separable", 1)})).wide.how == ("separable", 1)
    assert {path for path, part in again.module.named_modules() if isinstance(part, Compact)} == {
        "stem", "wide", "skip", "head",
    }  # fmt: skip
    plan = laconic.coupled(Plan({"stem.1.weight": KeepGroups(Groups("filters"), keep=0.5)}), small.module, images(2))
    masked = laconic.compress(small.module, plan, metadata=small.metadata)
    less = masked.shrink(Net(), images(2))
    loaded = laconic.load(less.save(tmp_path / "less.lac"), Net())
    assert loaded.wide[0].in_channels == 4
    assert far(loaded, masked.apply_to(Net()), images(4)) < 1e-4
    with pytest.raises(WeightsError, match="a smaller one already"):
        less.shrink(Net(), images(2))


@pytest.mark.parametrize(("between", "near"), [("norm", 1e-4), ("relu", 0.1)])
def test_a_norm_or_a_relu_between_begins_as_if_it_were_not_there(between, near):
    inputs, net = images(), Net().eval()
    plain, other = (laconic.rewrite(net, inputs, separable="wide", pooled="", between=b) for b in ("", between))
    assert len(other.module.wide) == {"norm": 3, "relu": 4}[between]
    with torch.no_grad():
        one, two = plain.module.eval()(inputs), other.module.eval()(inputs)
    assert float((one - two).square().sum() / one.square().sum()) < near**2


def test_inputs_make_what_a_layer_writes_nearer():
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1))
    before = copy.deepcopy(net)
    inputs = nn.functional.avg_pool2d(images(64), 3, 1, 1)  # neighbours are alike
    weighed, plain = (laconic.rewrite(net, inputs, by_weights=alike) for alike in (False, True))
    assert weighed.error < plain.error
    assert far(net, before, inputs) == 0, "the network is left as it was"


@pytest.mark.parametrize(("far_off", "spread"), [(0, 1), (255, 0.3), (1e4, 1), (7, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_error_that_is_told_is_the_true_one_however_far_the_mean_of_the_inputs(far_off, spread, bias):
    """The twin multiplies the patches themselves; without any spread nothing but a clear end is promised."""
    net, inputs = nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias)), drawn(60, 3, 6, 6) * spread + far_off
    small = laconic.rewrite(net, inputs)
    patches = nn.functional.unfold(torch.cat([*Calibration.of(net, inputs).seen]).double(), 3).transpose(1, 2)
    read, d, p = patches.reshape(-1, 27), *(part.weight.detach().double() for part in small.module[0])
    read = read - read.mean(0) if bias else read
    old = net[0].weight.detach().double()
    rest = old - torch.einsum("oi,iyx->oiyx", p.view(8, 3), d.view(3, 3, 3))
    lost, whole = (float((read @ one.flatten(1).T).square().sum()) for one in (rest, old))
    assert small.layers[0].error == pytest.approx(lost / whole, rel=0.01) if spread else small.error < 1e-6


def test_a_layer_whose_moments_overflow_goes_by_its_weights_alone():
    small = laconic.rewrite(nn.Sequential(nn.Conv2d(3, 8, 3)).double(), images().double() * 1e160)
    assert any("by weights alone" in note and note.endswith("too large for float64: 0") for note in small.notes)


class Head(nn.Module):
    """A dense layer on whatever is made of what a layer writes."""

    def __init__(self, layer, between, reads):
        super().__init__()
        self.layer, self.between, self.head = layer, between, nn.Linear(reads, 5)

    def forward(self, x):
        return self.head(input=self.between(self.layer(x)))


CONV = lambda **how: nn.Conv2d(3, 4, 3, padding=1, **how)  # noqa: E731
HEADS = {
    "maps": (CONV, lambda y: torch.relu(y).flatten(1), (3, 4, 4), 16),
    "pooled": (lambda: nn.Sequential(CONV(), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten()),
               lambda y: y * torch.sigmoid(y), (3, 4, 4), 4),
    "residual": (CONV, lambda y: (1 + torch.cat([y, y + y[:, :, ::2].mean()], 1)).flatten(2).reshape(len(y), -1),
                 (3, 4, 4), 16),
    "1d": (lambda: nn.Conv1d(3, 4, 2), lambda y: y.view(y.size(0), -1), (3, 4), 3),
    "channels last": (CONV, lambda y: torch.relu(y).permute(0, 2, 3, 1).flatten(1), (3, 4, 4), 0),
    "channels last in place": (CONV, lambda y: y.transpose_(1, 3).flatten(1), (3, 4, 4), 0),
    "tokens": (lambda: nn.Linear(6, 4), lambda y: torch.tanh(y).flatten(1), (10, 6), 0),
    "the inputs": (nn.Identity, lambda y: y.flatten(1), (3, 4, 4), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_flattened_maps_are_what_a_convolution_wrote_with_its_channels_in_place(name):
    layer, between, shape, positions = HEADS[name]
    inputs, layer = drawn(4, *shape), layer().eval()
    net = Head(layer, between, between(layer(inputs)).shape[1]).eval()
    assert flattened(net, lambda: net(inputs)) == ({"head": positions} if positions else {})


def test_a_head_that_is_called_by_name_is_pooled_and_one_on_tokens_is_named():
    small = laconic.rewrite(Head(CONV(), lambda y: y.flatten(1), 64), images()[:, :, :4, :4], separable="")
    assert [(row.name, row.kind) for row in small.layers] == [("head", "pooled")]
    with pytest.raises(WeightsError, match="head reads no flattened map"):
        laconic.rewrite(Head(nn.Linear(6, 4), lambda y: y.flatten(1), 40), drawn(8, 10, 6), pooled="head")


class Strange(nn.Module):
    """Layers that nothing can take the place of."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.alias = self.twice
        self.tied, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.other.weight = self.tied.weight
        self.read, self.hooked, self.valid = (nn.Conv2d(4, 16, 3) for _ in range(3))
        self.hooked.register_forward_hook(lambda *_: None)
        self.up, self.thin, self.fine = nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 1, 3), nn.Conv2d(4, 16, 3)

    def forward(self, x):
        if x.sum() > float("inf"):  # which no tracer follows
            return x
        x = self.other(self.tied(self.alias(self.twice(x))))
        y = nn.functional.conv2d(x, self.read.weight) + self.hooked(x) + self.valid(x) + self.fine(x)
        return y.mean((1, 2, 3)), self.thin(x), self.up(x)


def test_what_nothing_can_take_the_place_of_is_left_alone_with_the_reason():
    made = laconic.rewrite(Strange(), drawn(4, 4, 6, 6), pointwise="valid")
    assert [row.name for row in made.layers] == ["fine"]
    why = dict(made.left)
    assert "several names" in why["twice"]
    assert "shares its weight" in why["tied"]
    assert "shares its weight" in why["other"]
    assert "hooks" in why["hooked"]
    assert "another size" in why["valid"]
    assert "no fewer multiply-adds" in why["thin"]
    assert "does not run with another" in why["read"]
    assert "up" not in why, "no pattern of convolutions names a transposed one"


def test_bad_calls_are_refused():
    net, inputs = Net(), images(4)
    with pytest.raises(PlanError, match=r"'stern' names no layer of .*there are stem, wide"):
        laconic.rewrite(net, inputs, separable="stern")
    with pytest.raises(PlanError, match="rank is 1 or more"):
        laconic.rewrite(net, inputs, rank=0)
    with pytest.raises(WeightsError, match="nothing can be rewritten: last reads no flattened map"):
        laconic.rewrite(net, inputs, separable="", pooled="last")
    with pytest.raises(WeightsError, match=r"is itself a Conv2d, .* put it into a torch.nn.Sequential"):
        laconic.rewrite(nn.Conv2d(3, 8, 3), inputs)
    assert laconic.rewrite(nn.Sequential(nn.Conv2d(3, 8, 3)), inputs).layers, "as it says"
    with pytest.raises(DataError, match="NaN"):
        laconic.rewrite(net, inputs * float("nan"))
    with pytest.raises(DataError, match="channels"):
        laconic.rewrite(net, drawn(4, 5, 8, 8))
    with torch.no_grad():
        net.last.weight[0, 0] = float("inf")
    with pytest.raises(DataError, match="no finite numbers"):
        laconic.rewrite(net, inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made_in_the_type_of_the_layer(kind):
    layer = nn.Linear(8, 3) if kind == "pooled" else nn.Conv2d(2, 12, 3, padding=1)
    sizes = {"pooled": (4,), "pointwise": ()}.get(kind, (1,))
    made = compact(layer.double(), kind, sizes)
    apply_to(made, {name: torch.zeros_like(tensor) for name, tensor in made.state_dict().items()})
    assert {p.dtype for p in made.parameters()} == {torch.float64}
    assert made.how == (kind, *sizes)
