"""Filters that are pruned take along what goes with them: bias, norm, and all that reads them."""

import logging

import pytest
import torch
from shrinkable_nets import net
from torch import nn

import laconic
from laconic import AdaptiveCodebook, Groups, Joint, KeepGroups, LowRank, Plan
from laconic.errors import DataError, PlanError
from laconic.lc.schedule import Geometric
from laconic.lc.steps import run, start
from laconic.models import nets
from laconic.plans.coupling import coupled, groups_of
from laconic.theory.metric import Diagonal

FILTERS = KeepGroups(Groups("filters"), keep=0.5)


def test_the_streams_of_a_resnet_are_three_sets_of_channels_that_go_through_its_stages():
    groups = groups_of(nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    streams = [group for group in groups if ("linear.weight", 1) in group.axes]
    assert [len(group.channels) for group in streams] == [16, 16, 32]
    assert [sum(axis == 0 and "conv" in name for name, axis in group.axes) for group in streams] == [10, 6, 3]
    assert len(groups) == len(streams) + 9  # and the inside of each block


def test_the_channels_that_stay_are_those_of_most_weight_over_all_tensors():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]).expand(4, 3))
        module[2].weight.copy_(torch.tensor([[10.0, 0.1, 0.1, 5.0]]).expand(2, 4))
    result = laconic.compress(module, coupled(Plan({"0.weight": FILTERS}), module, torch.zeros(1, 3)))
    alive = [True, False, False, True]
    assert result.params["0.weight"].ne(0).all(1).tolist() == alive
    assert result.params["2.weight"].ne(0).all(0).tolist() == alive
    assert result.params["0.bias"].ne(0).tolist() == alive


def crossed(tensor: torch.Tensor, axis: int) -> list[bool]:
    """Which channels of a tensor are not empty."""
    return tensor.ne(0).transpose(0, axis).reshape(tensor.shape[axis], -1).any(1).tolist()


@pytest.mark.parametrize("importance", [False, True])
def test_each_step_of_lc_chooses_anew_and_empties_coupled_tensors_together(importance):
    """The loss is ½‖w − t‖², whose L step is known; of t other channels matter than of the first weights."""
    torch.manual_seed(3)
    module, image = net("concatenation")
    params = {name: tensor.detach() for name, tensor in module.named_parameters()}
    target = {name: torch.randn_like(tensor) for name, tensor in params.items()}
    plan = coupled(Plan({"first.weight, second.weight": FILTERS}), module, image)
    metrics = {name: Diagonal(torch.rand_like(tensor) + 0.5) for name, tensor in params.items()} if importance else None
    sets = [group for group in groups_of(module, image) if {("first.weight", 0), ("second.weight", 0)} & {*group.axes}]
    assert len(sets) == 2

    def l_step(state, mu):
        shift = {n: mu * state.importance.get(n, torch.ones(())) for n in state.codes}
        pulled = {n: shift[n] * state.compressed[n] + state.multipliers[n] for n in state.codes}
        return {n: (t + pulled[n]) / (1 + shift[n]) if n in pulled else t for n, t in target.items()}, 0.0

    choices, before = list[list[bool]](), None
    for state in run(start(params, plan, metrics), l_step, Geometric(0.05, 1.5, 14)):
        choices.append([])
        for group in sets:
            alive = {(n, axis): crossed(state.compressed[n], axis) for n, axis in group.axes}
            stay = [any(alive[slot.name, slot.axis][slot.at] for slot in channel) for channel in group.channels]
            assert sum(stay) == len(stay) // 2, "a channel that goes is empty in all tensors"
            choices[-1] += stay
            if before is not None:
                points = before.shifted(state.weights, state.progress.mu)
                lost = {n: before.importance.get(n, torch.ones(())) * points[n].square() for n, _ in group.axes}
                sums = [sum(float(lost[n].select(axis, at).sum()) for n, axis, at in c) for c in group.channels]
                worth = {kept: [s for s, one in zip(sums, stay, strict=True) if one == kept] for kept in (False, True)}
                assert min(worth[True]) >= max(worth[False])
        before = state
    assert choices[-1] != choices[0]


def test_heads_go_as_one():
    module, tokens = net("grouped queries")
    groups = groups_of(module, tokens)
    heads = [group for group in groups if ("attention.q.weight", 0) in group.axes]
    assert [len(group.channels) for group in heads] == [4]
    assert {len(channel) for channel in heads[0].channels} == {(2 * 4) * 2 + 4 + 4}


def test_what_stays_is_compressed_as_the_row_says():
    module, image = net("concatenation")
    plan = Plan(
        {
            "*first.weight, *second.weight": Joint(
                KeepGroups(Groups("filters"), keep=0.5, values=Joint(AdaptiveCodebook(4)))
            )
        }
    )
    params = laconic.compress(module, coupled(plan, module, image)).params
    both = torch.cat([params["first.weight"].reshape(-1), params["second.weight"].reshape(-1)])
    assert len(both.unique()) == 5
    assert len(params["last.weight"].unique()) > 100


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"stem.weight": AdaptiveCodebook(2)}, "nothing to couple"),
        ({"first.weight": FILTERS, "last.weight": LowRank(2)}, "last.weight goes along .* on a row of LowRank"),
        (
            {"first.weight": FILTERS, "second.weight": KeepGroups(Groups("channels"), keep=0.25)},
            "channels that go together, but shares of",
        ),
    ],
    ids=["nothing", "another compression", "two shares"],
)
def test_plans_that_do_not_fit_are_refused(plan, message):
    module, image = net("concatenation")
    with pytest.raises(PlanError, match=message):
        coupled(Plan(plan), module, image)


class Two(nn.Module):
    """Both layers are outputs, the first one through a hidden layer."""

    def __init__(self):
        super().__init__()
        self.hidden, self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(6, 4)

    def forward(self, x):
        return self.a(torch.relu(self.hidden(x))), self.b(x)


def test_rows_of_what_cannot_be_removed_are_named(caplog):
    half, example = KeepGroups(Groups("filters"), keep=0.5), torch.randn(1, 6)
    caplog.set_level(logging.WARNING, "laconic")
    with pytest.raises(PlanError, match=r"b\.weight: the run on the example shows no filters .* they are outputs"):
        coupled(Plan({"b.weight": half}), Two(), example)
    coupled(Plan({"*.weight": half}), Two(), example)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["b.weight"]


def test_a_pattern_may_name_a_tied_tensor_by_any_of_its_names():
    module, tokens = net("torch's attention")
    tied = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    assert len(tied) > len(list(module.named_parameters())), "the embedding is the output layer"
    plan = Plan({"logits.weight, mlp.*.weight": FILTERS}, rest=laconic.Lossless())
    assert coupled(plan, module, tokens).tensors


def test_an_example_that_the_network_does_not_take_is_told():
    with pytest.raises(DataError, match="does not run on the example"):
        coupled(Plan({"0.weight": FILTERS}), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.zeros(1, 5))
