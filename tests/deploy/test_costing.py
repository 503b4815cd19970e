"""What a network costs, layer by layer: totals are sums, and each weight is paid for once, where it is used."""

import json
from pathlib import Path

import pytest
import torch
from sample_codes import low_rank
from torch import nn

from laconic.csteps.costs import Energy, Flops, Time
from laconic.csteps.profile import Setting
from laconic.csteps.profile_file import load_profile
from laconic.deploy.costing import cost_of, settings_of
from laconic.format.codes import DenseCode
from laconic.models.counting import counted
from laconic.models.nets import build
from laconic.models.params import params_of, to_numpy

DEVICE = load_profile(Path(__file__).parents[2] / "examples" / "device_256kb.toml")


def dense(module):
    return {name: DenseCode.of(to_numpy(tensor)) for name, tensor in params_of(module).items()}


def test_layers_add_up_to_what_the_costs_say_of_the_weights():
    module, inputs = build("lenet300"), torch.zeros(1, 1, 28, 28)
    count, codes = counted(module, lambda: module(inputs)), dense(module)
    codes["fc1.weight"] = low_rank((300, 784), 5)
    cost = cost_of(count, codes, DEVICE)
    uses = count.uses()
    assert cost.total("parameters") == 266_610
    assert cost.total("multiply_adds") == 266_200
    assert cost.total("coded") == sum(Flops(uses)(name, code) for name, code in codes.items()) == 5 * 1084 + 31_000
    assert cost.total("picojoules") == pytest.approx(sum(Energy(uses)(name, code) for name, code in codes.items()))
    time = Time.of_profile(DEVICE, uses)
    weights = sum(time(name, code) for name, code in codes.items())
    rest = next(layer.seconds for layer in cost.layers if not layer.layer)
    assert cost.total("seconds") == pytest.approx(weights + rest)
    assert rest > 0
    assert [len(s) for layer in cost.layers for s in layer.settings.values()] == [2, 1, 1]
    json.dumps(cost.records(), allow_nan=False)


def test_a_tied_weight_is_kept_once_and_paid_for_where_it_is_applied():
    module = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False))
    module[1].weight = module[0].weight
    words = torch.zeros(1, 8, dtype=torch.long)
    cost = cost_of(counted(module, lambda: module(words)), dense(module))
    assert [(row.layer, row.parameters, row.multiply_adds) for row in cost.layers] == [("0", 40, 0), ("1", 0, 320)]


def test_a_weight_of_a_part_that_is_not_called_counts_for_that_part():
    module, inputs = nn.MultiheadAttention(8, 2, batch_first=True), torch.zeros(1, 5, 8)
    cost = cost_of(counted(module, lambda: module(inputs, inputs, inputs)), dense(module))
    found = {row.layer: row.multiply_adds for row in cost.layers}
    assert found == {"": 5 * 192 + 2 * 5 * 5 * 8, "out_proj": 5 * 64}


def test_one_setting_for_all_takes_no_less_time_than_the_best_of_each():
    module, inputs = build("lenet5"), torch.zeros(1, 1, 28, 28)
    count, codes = counted(module, lambda: module(inputs)), dense(module)
    best, plain = (cost_of(count, codes, DEVICE, 32, setting) for setting in (None, Setting()))
    assert best.total("seconds") < plain.total("seconds")
    assert {s for row in plain.layers for several in row.settings.values() for s in several} == {Setting()}
    chosen = settings_of(codes, Time.of_profile(DEVICE, count.uses(), 32))
    assert chosen["fc1.weight"] == best.layers[-2].settings["fc1.weight"] != (Setting(),)
