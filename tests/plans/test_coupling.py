"""Filters that are pruned take along what goes with them: bias, norm, and all that reads them."""

import logging

import pytest
import torch
from shrinkable_nets import net
from torch import nn

import laconic
from laconic import AdaptiveCodebook, Groups, Joint, KeepGroups, LowRank, Plan
from laconic.errors import PlanError
from laconic.models import nets
from laconic.plans.coupling import coupled, groups_of

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
