"""What is empty is gone: the smaller network says what the masked one says, on inputs that shrinking has not seen."""

import copy

import pytest
import torch
from shrinkable_nets import NETS, net, stirred
from torch import nn

import laconic
from laconic import AdaptiveCodebook, Groups, KeepGroups, KeepLargest, LowRank, Plan, Tucker
from laconic.deploy.account import multiply_adds
from laconic.deploy.emptying import empty
from laconic.deploy.shrinking import shrink
from laconic.errors import DataError, WeightsError
from laconic.format.lossless import lossless
from laconic.models import nets
from laconic.models.params import params_of, to_numpy

HALF = Plan({"*": KeepGroups(Groups("filters"), keep=0.5)})


def codes_of(module):
    return {name: lossless(to_numpy(tensor)) for name, tensor in params_of(module).items()}


def unseen(example):
    generator = torch.Generator().manual_seed(99)
    if example.is_floating_point():
        return 3 * torch.randn(5, *example.shape[1:], generator=generator)
    return torch.randint(0, 50, (5, example.shape[1] + 2), generator=generator)


def far(module, other, inputs):
    """Largest difference of outputs, of the largest."""
    with torch.no_grad():
        one, two = module.eval()(inputs), other.eval()(inputs)
    return float((one - two).abs().max() / one.abs().max())


def made(name, tmp_path, plan=HALF):
    """A network of a kind at half width, masked, and loaded from the file of the smaller one; with that result."""
    fresh, example = net(name)
    masked = laconic.compress(fresh, laconic.coupled(plan, fresh, example))
    small = masked.shrink(fresh, example)
    return masked.apply_to(fresh), laconic.load(small.save(tmp_path / "small.lac"), net(name)[0]), masked, small


@pytest.mark.parametrize("name", NETS)
def test_half_of_the_channels_are_gone_and_the_outputs_are_what_they_were(name, tmp_path):
    masked, loaded, before, small = made(name, tmp_path)
    assert far(masked, loaded, unseen(net(name)[1])) <= 1e-5
    assert small.shrunk.multiply_adds[1] <= 0.75 * small.shrunk.multiply_adds[0]
    assert small.file_bytes < before.file_bytes
    assert sum(p.numel() for p in loaded.parameters()) < sum(p.numel() for p in masked.parameters())


def test_the_residual_streams_of_a_resnet_shrink_through_shortcuts_that_pad(tmp_path):
    fresh, example = stirred(nets.build("resnet20")), torch.randn(1, 3, 32, 32)
    plan = laconic.coupled(Plan({"*conv*.weight": KeepGroups(Groups("filters"), keep=0.5)}), fresh, example)
    masked = laconic.compress(fresh, plan)
    small = masked.shrink(fresh, example)
    loaded = laconic.load(small.save(tmp_path / "small.lac"), nets.build("resnet20"))
    assert far(masked.apply_to(fresh), loaded, torch.randn(2, 3, 32, 32)) <= 1e-5
    assert [tuple(loaded.get_parameter(f"layer{i}.1.conv2.weight").shape[:2]) for i in (1, 2, 3)] == [
        (8, 8),
        (16, 16),
        (32, 32),
    ]
    assert small.shrunk.multiply_adds[0] > 3.5 * small.shrunk.multiply_adds[1]
    assert not small.shrunk.left


def test_a_pruned_lenet_loses_neurons_and_inputs_that_nobody_reads():
    module = nets.build("lenet300")
    with torch.no_grad():
        module.fc1.weight[64:] = 0
        module.fc1.weight[:, torch.randperm(784, generator=torch.Generator().manual_seed(1))[400:]] = 0
        module.fc2.weight[99] = 0
    small = shrink(codes_of(module), module, torch.randn(2, 1, 28, 28))
    before, after = small.multiply_adds
    assert before == 2 * 266_200
    assert after == 2 * (400 * 64 + 64 * 99 + 99 * 10)
    assert before >= 7 * after
    kept = shrink(codes_of(module), module, torch.randn(2, 1, 28, 28), keep_inputs=True)
    assert not kept.edits.selected
    assert kept.multiply_adds[1] == 2 * (784 * 64 + 64 * 99 + 99 * 10)
    assert kept.left == (("fc1.weight", 1, 384, "inputs of the network are kept"),)


def chain(*, padding=0, bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=padding, bias=bias), nn.Flatten())


def test_a_constant_goes_into_the_next_bias_where_that_is_exact():
    module, example = chain(), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        module[0].weight[:3] = 0
        module[0].bias[:3] = torch.tensor([0.7, -0.7, 0.0])  # of which ReLU leaves one
    small = shrink(codes_of(module), module, example)
    assert small.edits.axes["0.weight"][0] == (3, 4, 5)
    assert small.difference < 1e-6
    assert not small.left


@pytest.mark.parametrize("how", [{"padding": 1}, {"bias": False}], ids=["padded", "no bias"])
def test_a_constant_that_no_bias_can_hold_stays_and_is_named(how):
    module, example = chain(**how), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        module[0].weight[:3] = 0
        module[0].bias[:3] = torch.tensor([0.7, -0.7, 0.0])
    small = shrink(codes_of(module), module, example)
    assert small.edits.axes["0.weight"][0] == (0, 3, 4, 5)
    assert [(row.name, row.axis, row.empty) for row in small.left] == [("0.weight", 0, 1)]


def test_neurons_that_only_removed_ones_read_go_too():
    module = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    with torch.no_grad():
        module[3].weight[:, :6] = 0
        for layer in module[1:3]:
            layer.weight.mul_(torch.eye(8))  # each reads one
    small = shrink(codes_of(module), module, torch.randn(2, 8))
    assert all(small.edits.axes[f"{layer}.weight"][0] == (6, 7) for layer in (0, 1, 2))


def test_a_channel_that_is_added_to_another_goes_with_it_alone():
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.last(torch.tanh(self.a(x) + self.b(x)))

    module = Added()
    with torch.no_grad():
        for layer, rows in ((module.a, [0, 1, 2]), (module.b, [2, 3])):
            layer.weight[rows] = layer.bias[rows] = 0
    small = shrink(codes_of(module), module, torch.randn(2, 4))
    assert small.edits.axes["last.weight"] == {1: (0, 1, 3, 4, 5)}
    assert {(row.name, row.empty) for row in small.left} == {("a.weight", 2), ("b.weight", 1)}


@pytest.mark.parametrize("seed", range(4))
def test_emptying_leaves_the_outputs_of_random_networks_alone(seed):
    """The twin of the search is the network itself: weights drawn to be zero, rows and columns at random."""
    generator = torch.Generator().manual_seed(seed)
    name = list(NETS)[seed]
    module, example = net(name)
    with torch.no_grad():
        for tensor in module.parameters():
            for axis in range(min(2, tensor.ndim)):
                gone = torch.rand(tensor.shape[axis], generator=generator) < 0.4
                tensor.index_fill_(axis, gone.nonzero().reshape(-1), 0.0)
    emptied = empty(copy.deepcopy(module), (example,)).module
    assert far(module, emptied, unseen(example)) <= 1e-5


def test_counts_are_rounded_up_to_a_multiple():
    module = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        module[0].weight[:21] = module[0].bias[:21] = 0
    small = shrink(codes_of(module), module, torch.randn(2, 4), multiple=8)
    assert len(small.edits.axes["0.weight"][0]) == 16
    assert small.left[0].why.startswith("a multiple")


def test_factored_layers_become_thin_ones(tmp_path):
    def fresh():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(8, 32, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(32, 32, (3, 5), padding=(1, 2)), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, dilation=2), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(32, 32),
        )  # fmt: skip

    module, example = fresh(), torch.randn(2, 8, 12, 12)
    rows = {
        "0.weight": LowRank(2, view="out.kh|in.kw"), "2.weight": LowRank(2, view="out.kw|in.kh"),
        "4.weight": Tucker(6, 7), "6.weight": laconic.Canonical(5), "9.weight": LowRank(3, right=AdaptiveCodebook(4)),
    }  # fmt: skip
    small = laconic.compress(module, Plan(rows)).shrink(module, example)
    assert set(small.shrunk.edits.factored) == {"0", "2", "4", "6", "9"}
    assert small.shrunk.multiply_adds[1] < 0.5 * small.shrunk.multiply_adds[0]
    loaded = laconic.load(small.save(tmp_path / "small.lac"), fresh())
    masked = laconic.compress(module, Plan(rows)).apply_to(module)
    assert far(masked, loaded, 2 * torch.randn(3, 8, 12, 12)) <= 1e-5
    assert [len(loaded[i]) for i in (0, 2, 4, 6, 9)] == [2, 2, 3, 4, 2]


def test_nothing_to_remove_is_an_error_that_says_why():
    module, example = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(1, 4)
    with pytest.raises(WeightsError, match="no neuron, filter, channel or head is empty"):
        shrink(codes_of(module), module, example)
    with torch.no_grad():
        module[2].weight[0] = 0  # an output
    with pytest.raises(WeightsError, match=r"2\.weight, axis 0: 1 empty, is an output of the network"):
        shrink(codes_of(module), module, example)


def test_an_operation_that_nobody_knows_leaves_its_layers_alone():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            x = self.a(x).sort(-1).values
            if float(x.sum()) > 1e9:  # a program that no tracer of graphs takes
                return x
            return self.c(torch.relu(self.b(x)))

    module = Odd()
    with torch.no_grad():
        for layer in (module.a, module.b):
            layer.weight[:2] = layer.bias[:2] = 0
    small = shrink(codes_of(module), module, torch.randn(2, 4))
    assert "a.weight" not in small.edits.axes
    assert len(small.edits.axes["b.weight"][0]) == 4
    assert small.left[0][:3] == ("a.weight", 0, 2)
    assert "sort" in small.left[0].why


def test_bad_examples_are_refused():
    module = nn.Linear(4, 4)
    with pytest.raises(DataError, match="does not run on the example"):
        shrink(codes_of(module), module, torch.randn(1, 5))
    with pytest.raises(DataError, match="no finite numbers"):
        shrink(codes_of(module), module, torch.full((1, 4), torch.nan))


def test_values_that_were_quantized_stay_so_and_the_file_is_smaller(tmp_path):
    plan = Plan({"*": KeepGroups(Groups("filters"), keep=0.5, values=AdaptiveCodebook(4))})
    _, loaded, before, small = made("concatenation", tmp_path, plan)
    assert small.file_bytes < before.file_bytes
    assert all(len(loaded.get_parameter(f"{name}.weight").unique()) <= 5 for name in ("stem", "first", "second"))


def test_multiply_adds_are_those_of_the_shapes():
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5 * 36, 2))
    assert multiply_adds(module, ((torch.randn(1, 3, 8, 8),), {})) == 36 * 5 * 27 + 360


def test_a_network_is_shrunk_once():
    module = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    with torch.no_grad():
        module[1].weight[:, :4] = 0
    small = laconic.compress(module, Plan({"0.weight": KeepLargest(1.0)})).shrink(module, torch.randn(1, 4))
    with pytest.raises(WeightsError, match="already"):
        small.shrink(module, torch.randn(1, 4))


def test_an_example_of_nothing_is_refused():
    with pytest.raises(DataError, match="the example holds nothing"):
        laconic.compress(nn.Linear(4, 4), laconic.Lossless()).shrink(nn.Linear(4, 4), torch.randn(0, 4))
