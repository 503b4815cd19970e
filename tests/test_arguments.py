"""What `laconic.compress` is asked: what goes together, what nothing named stands for, what is told of mistakes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import laconic
from laconic import AdaptiveCodebook, Joint, KeepLargest, Lossless, LowRank
from laconic.errors import PlanError, WeightsError
from laconic.plans.plan import Plan
from laconic.training.judges import least_squares
from laconic.training.optimization import Optimization
from laconic.training.task import Task

INPUTS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))


BRIEF = laconic.Training(
    steps=3, l_step=Optimization(epochs=2, lr=0.05), finetune=replace(laconic.Training().finetune, epochs=2)
)


def regressing():
    """A task of one matrix."""
    return Task(nn.Linear(6, 6), [(INPUTS[part], INPUTS[part]) for part in torch.arange(48).split(4)], nn.MSELoss())


def test_efforts_and_methods_that_there_are_not():
    module, task = nn.Linear(6, 6), regressing()
    with pytest.raises(PlanError, match="'heroic'"):
        laconic.compress(module, AdaptiveCodebook(2), effort="heroic")
    with pytest.raises(PlanError, match="needs a task"):
        laconic.compress(module, AdaptiveCodebook(2), effort="train")
    with pytest.raises(PlanError, match="'magic'"):
        laconic.compress(task.module, AdaptiveCodebook(2), task, "train", training=laconic.Training(method="magic"))


def test_plans_that_do_not_fit():
    with pytest.raises(PlanError, match="matches no tensor"):
        laconic.compress(nn.Linear(2, 2), Plan({"conv*": AdaptiveCodebook(2)}, rest=Lossless()))
    with pytest.raises(PlanError, match="two or more axes"):
        laconic.compress({"b": torch.ones(3)}, AdaptiveCodebook(2))
    with pytest.raises(WeightsError, match="weight: 1 of 4"):
        laconic.compress({"weight": torch.tensor([[1.0, 2], [3, float("nan")]])}, AdaptiveCodebook(2))
    with pytest.raises(WeightsError, match="lacks"):
        laconic.compress(nn.Linear(2, 2), AdaptiveCodebook(2)).apply_to(nn.Linear(2, 2, bias=False))


def test_nothing_named_is_four_bits_and_keywords_are_budgets():
    net = nn.Linear(100, 100)
    bare = laconic.compress(net)
    assert bare.fitted.budget == laconic.Budget(bits=4, asked=False)
    assert laconic.compress(net, bits=3).fitted.budget == laconic.Budget(bits=3)
    assert laconic.compress(net, size=6_000, lossless=["bias"]).file_bytes <= 6_000
    beside = laconic.compress(net, Plan({"bias": Lossless()}), ratio=8)
    assert 8 * beside.file_bytes <= beside.ledger().reference_bytes


def test_the_effort_is_what_the_arguments_allow():
    task = regressing()
    assert laconic.compress(task.module, AdaptiveCodebook(2), task, training=BRIEF).history
    assert not laconic.compress(task.module, Plan({"weight": AdaptiveCodebook(2)})).history
    assert not laconic.compress(task.module, task=task, ratio=1).history
    only_test = Task(task.module, loss=least_squares, test=[(INPUTS, INPUTS)])
    result = laconic.compress(task.module, AdaptiveCodebook(2), only_test)
    assert not result.history
    assert result.evaluate(only_test).keys() == {"loss"}


WRONG = {
    "two budgets": ({"bits": 3, "size": 100}, "a budget is one of .* given are bits, size"),
    "two budgets, one by position": ({"plan": laconic.Budget(bits=2), "bits": 3}, "two budgets"),
    "a budget below what zeros take": ({"bits": 3, "effort": "train"}, "13 bytes are too few: .* ask for 95"),
    "training without a plan": ({"effort": "train"}, "give a plan"),
    "a size with a unit": ({"size": "40KB"}, "size is an integer.*'40KB'"),
    "no plan": ({"plan": "fc*"}, "plan is a Plan, a compression .*'fc\\*'"),
    "a number for a plan": ({"plan": 4}, "not 4"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_together_says_what_does(case):
    options, words = WRONG[case]
    task = regressing()
    with pytest.raises(PlanError, match=words):
        laconic.compress(task.module, task=task, **options)


TYPES = {
    "budget unnamed": (lambda: laconic.Budget(40_000), r"Budget\(size=40000\)"),
    "budget": (lambda: laconic.Budget(bits="3"), "bits is a number, not '3'"),
    "text": (lambda: AdaptiveCodebook("4"), "AdaptiveCodebook: entries is an integer, not '4'"),
    "fraction": (lambda: AdaptiveCodebook(4.5), "entries is an integer, not 4.5"),
    "share": (lambda: KeepLargest("0.1"), "KeepLargest: keep is a number, not '0.1'"),
    "inner": (lambda: KeepLargest(0.1, values=16), "values is a Compression, not 16"),
    "rank": (lambda: LowRank(rank=[1]), r"LowRank: rank is .*, not \[1\]"),
    "joint": (lambda: Joint(4), "a Compression, not 4"),
    "row": (lambda: Plan({"fc*": 4}), r"fc\*: a row gives a compression"),
    "key": (lambda: Plan({4: Lossless()}), "a row has a pattern .*not 4"),
}


@pytest.mark.parametrize("case", TYPES)
def test_a_wrong_type_is_named_with_its_field(case):
    make, words = TYPES[case]
    with pytest.raises(PlanError, match=words):
        make()


def test_what_is_no_tensor_is_named_with_the_way_out():
    weights = {"w": torch.randn(4, 4)}
    with pytest.raises(WeightsError, match="epoch is no tensor but of type int; leave it out"):
        laconic.compress({**weights, "epoch": 3})
    with pytest.raises(WeightsError, match="model is no tensor but of type dict; give what lies under 'model'"):
        laconic.compress({"model": weights, "epoch": 3})


def test_what_nobody_asked_for_is_given_room():
    """A few weights take less than what four bits of each can pay, names and lengths."""
    small = {"w": torch.randn(5, 5, generator=torch.Generator().manual_seed(0))}
    result = laconic.compress(small)
    assert result.fitted.budget == laconic.Budget(bits=4, asked=False)
    assert result.file_bytes < 200
    with pytest.raises(PlanError, match="too few"):
        laconic.compress(small, bits=4)


def test_training_goes_with_the_effort_that_trains():
    with pytest.raises(PlanError, match="training goes with effort 'train'"):
        laconic.compress(nn.Linear(4, 4), AdaptiveCodebook(2), training=laconic.Training(steps=1))
