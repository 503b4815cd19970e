"""What a file leaves to run says what its decompressed network says, with no more to multiply."""

import pytest
import torch
from shrinkable_nets import net
from torch import nn

import laconic
from laconic import Groups, KeepGroups, LowRank, Plan, UniformGrid
from laconic.deploy.account import multiply_adds
from laconic.deploy.calls import Call
from laconic.deploy.lean import lean, raced
from laconic.deploy.modules import stored
from laconic.deploy.timing import ROWS
from laconic.models.params import params_of

CASES = {
    "filters": ("depthwise", Plan({"*": KeepGroups(Groups("filters"), keep=0.5)}), "what is empty is cut out"),
    "rank": ("dense", LowRank(2), "products are thin|thin products"),
    "grid": ("dense", UniformGrid(bits=4), "nothing is cut out"),
}


def dense():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 20)).eval()
    return network, torch.randn(6, 40)


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_decompressed_network(case):
    name, compression, said = CASES[case]
    network, inputs = dense() if name == "dense" else net(name)
    if case == "filters":
        compression = laconic.coupled(compression, network, inputs)
    result, call = laconic.compress(network, compression), Call((inputs,), {})
    left, whole = lean(network, result.codes, call), stored(network, result.codes, ()).module.eval()
    assert any(one in left.said for one in said.split("|")), left.said
    torch.testing.assert_close(call.of(left.module), call.of(whole), rtol=1e-4, atol=1e-4)
    costs = [multiply_adds(module, ((inputs,), {})) for module in (left.module, whole)]
    assert costs[0] <= costs[1]
    assert (costs[0] < costs[1]) == (case != "grid")


def test_calls_are_timed_by_turns_and_the_network_stays():
    network, inputs = dense()
    before = params_of(network)
    races = raced(network, {name: tensor + 1 for name, tensor in before.items()}, network, Call((inputs,), {}), 0.0)
    assert [race.rows for race in races] == list(ROWS)
    assert all(race.before.milliseconds > 0 < race.after.milliseconds and race.before.ratio == 1 for race in races)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
