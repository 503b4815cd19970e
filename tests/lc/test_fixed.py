"""What no L step moves is compressed once: direct compression bit by bit, and no part of gap and penalty."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toys import generator

import laconic
from laconic import AdaptiveCodebook, Joint, Lossless, Plan, Task
from laconic.errors import PlanError
from laconic.lc.finetune import FINE_TUNING, FineTuning
from laconic.models.params import decompress
from laconic.training.judges import least_squares
from laconic.training.optimization import Optimization


class Net(nn.Module):
    """A frozen layer, a float buffer of two axes that is added, and a layer that training moves."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)
        self.register_buffer("table", torch.linspace(-1, 1, 8).repeat(4, 1) ** 3)
        self.first.weight.requires_grad_(False)

    def forward(self, inputs):
        return self.second(torch.relu(self.first(inputs) + self.table[0]))


PLAN = Plan({"*.weight, table": AdaptiveCodebook(4)}, rest=Lossless())
FEW = laconic.Training(steps=80, l_step=Optimization(epochs=1, lr=0.05), growth=1.3, finetune=FINE_TUNING)


def trained(plan, **options):
    torch.manual_seed(0)
    net = Net()
    inputs = torch.randn(64, 6, generator=generator(1))
    batch = (inputs, net(inputs).detach())
    task = Task.of(net, lambda split, seed: [batch] * 4, least_squares)
    states = []
    result = laconic.compress(net, plan, task, "train", training=FEW, watch=states.append, **options)
    return net, task, result, states


def test_a_frozen_tensor_and_a_buffer_are_direct_compression_bit_by_bit_and_named():
    net, _, result, states = trained(PLAN)
    direct = laconic.compress(net, PLAN)
    assert result.fixed == ("first.weight", "table")
    for name in result.fixed:
        assert torch.equal(result.params[name], direct.params[name])
        assert all(
            torch.equal(state.weights[name], direct.params[name]) for state in states
        )  # others are trained beside
    end = states[-1]
    assert set(end.codes) == set(end.multipliers) == {"second.weight"}
    assert end.progress.gap < 0.01  # of what moves: the gap closes
    assert len(np.unique(result.params["second.weight"].numpy())) <= 4


def test_importances_weigh_them_as_in_direct_compression():
    metrics = {"first.weight": laconic.Diagonal(torch.rand(8, 6, generator=generator(2)) + 0.1)}
    net, _, result, _ = trained(PLAN, metrics=metrics)
    direct = laconic.compress(net, PLAN, metrics=metrics)
    assert torch.equal(result.params["first.weight"], direct.params["first.weight"])


def test_what_moves_and_what_does_not_cannot_share_a_codebook():
    with pytest.raises(PlanError, match=r"first.weight: .*joint with second.weight.*rows of their own"):
        trained(Plan({"*.weight": Joint(AdaptiveCodebook(4))}, rest=Lossless()))


def test_a_network_of_frozen_tensors_alone_needs_no_step():
    _, _, result, states = trained(Plan({"first.weight": AdaptiveCodebook(2)}, rest=Lossless()))
    assert {state.progress.step for state in states} == {0}
    assert len(result.params["first.weight"].unique()) == 2


# --- devices ---------------------------------------------------------------------------------------------------------


def test_fine_tuning_and_results_follow_the_device_of_the_task():
    """On a device that stands in for a GPU: it takes no part in a sum with tensors of the CPU, and has no numbers."""
    codes = laconic.compress(Net(), PLAN).codes
    net = Net().to("meta")
    batch = torch.zeros(5, 6), torch.zeros(5, 3)
    task = Task.of(net, lambda split, seed: [batch], lambda outputs, batch: torch.tensor(float(outputs.is_meta)))
    tuning = FineTuning.of(task, codes)
    (there,) = task.batches("train", 0)
    assert task.outputs(tuning._weights(), there).is_meta
    assert [part.device.type for part in batch] == ["cpu", "cpu"]
    assert all(leaf.device.type == "cpu" for leaf in tuning.freed.leaves.values())
    assert task.evaluate(decompress(codes), "test")["loss"] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_lc_runs_to_its_end_on_a_gpu():
    net = Net().cuda()
    batch = torch.randn(64, 6), torch.randn(64, 3).cuda()
    task = Task.of(net, lambda split, seed: [batch] * 4, least_squares)
    result = laconic.compress(net, PLAN, task, effort="train", training=replace(FEW, steps=3))
    assert task.evaluate(result.params, "test")["loss"] > 0
