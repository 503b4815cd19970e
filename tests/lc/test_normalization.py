"""Batch normalization in training within a budget: constant statistics where scale and shift can take them up."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from toys import classifier, digits, seeded_module, trained

import laconic
from laconic import AdaptiveCodebook, Plan, Training
from laconic.errors import PlanError
from laconic.lc.normalization import with_constant_statistics
from laconic.models.absorption import Absorbed
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.models.ties import untied
from laconic.theory.metric import Diagonal
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization
from laconic.training.task import Task, classification

SIZE = 1000
SHORT = Training(steps=2, l_step=Optimization(1, 0.05), finetune=Optimization(1, 1e-3))


@cache
def network() -> tuple[Task, dict[str, torch.Tensor]]:
    """A layer, its norm, another layer."""
    task = classifier(samples=500, hidden=20)
    return task, trained(task, 3, 0.05)


@cache
def compressed(fold: bool) -> laconic.Result:
    task, params = network()
    return laconic.compress(params, task=task, effort="train", size=SIZE, training=SHORT, fold=fold)


def test_the_network_says_the_same_and_statistics_are_not_trained():
    task, params = network()
    task.module.train()
    one, still, found = with_constant_statistics(untied(params, task.module), task, Plan({}))
    assert found == Absorbed(("1",), {})
    assert task.still == (), "the task that was given stays as it was"
    assert still.evaluate(one.params, "train")["loss"] == pytest.approx(task.evaluate(params, "train")["loss"], 1e-5)
    weights, loss = minimise(still, one.params, Optimization(2, 0.01), 0)
    assert all(part.training for part in task.module.modules())
    unmoved = {name for name in weights if torch.equal(weights[name], one.params[name])}
    assert unmoved == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert loss < task.evaluate(params, "train")["loss"]


def test_statistics_take_next_to_nothing_of_the_file():
    own, as_it_is = compressed(fold=True), compressed(fold=False)
    for name, value in {"1.running_mean": 0.0, "1.running_var": 1 - 1e-5}.items():
        assert torch.equal(own.params[name], torch.full((20,), value)), name
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"):
        assert type(own.codes[name]).__name__ == "GridCode"
    taken = [
        sum(row["bytes"] for row in result.table() if row["name"].startswith("1.running_"))
        for result in (own, as_it_is)
    ]
    assert taken[0] < taken[1] / 4
    assert own.norms == Absorbed(("1",), {})
    assert as_it_is.norms is None
    assert not torch.equal(as_it_is.params["1.running_mean"], network()[1]["1.running_mean"]), "trained as ever"
    assert max(own.file_bytes, as_it_is.file_bytes) <= SIZE


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    task, params = network()
    again = laconic.compress(params, task=task, effort="train", size=SIZE, training=SHORT)
    again.save(tmp_path / "b.lac"), compressed(fold=True).save(tmp_path / "a.lac")
    assert (tmp_path / "a.lac").read_bytes() == (tmp_path / "b.lac").read_bytes()


@pytest.mark.parametrize("what", ["plan", "lossless", "metric"])
def test_what_is_settled_otherwise_is_left_alone_and_named(what):
    task, params = network()
    options = {
        "plan": {"plan": Plan({"1.weight": AdaptiveCodebook(4)})},
        "lossless": {"lossless": ["1.bias"]},
        "metric": {"metrics": {"1.weight": Diagonal(torch.ones(20))}},
    }[what]
    none = replace(SHORT, steps=0, finetune=Optimization(0))
    result = laconic.compress(params, task=task, effort="train", size=2_500, training=none, **options)
    assert result.norms == Absorbed((), {"1": "has a row of the plan or an importance of its own"})
    assert torch.equal(result.params["1.running_mean"], params["1.running_mean"])


def test_norms_that_cannot_are_named_and_trained_as_they_were():
    net = seeded_module(
        lambda: torch.nn.Sequential(
            torch.nn.BatchNorm1d(64), torch.nn.Linear(64, 10), torch.nn.BatchNorm1d(10, affine=False)
        )
    )
    task = classification(net, Dataset("digits", {"train": digits(200)}, classes=10), batch=50)
    one, still, found = with_constant_statistics(untied(params_of(net)), task, Plan({}))
    assert found.norms == ("0",)
    assert found.left["2"] == "lacks weight, bias: a scale and a shift of its own take up its running statistics"
    weights, _ = minimise(still, one.params, Optimization(1, 0.01), 0)
    moved = [name for name in weights if "running" in name and not torch.equal(weights[name], one.params[name])]
    assert moved == ["2.running_mean", "2.running_var"]


def test_without_a_norm_all_stays_as_it_is():
    net = seeded_module(lambda: torch.nn.Linear(64, 10))
    task = classification(net, Dataset("digits", {"train": digits(100)}, classes=10))
    network = untied(params_of(net))
    assert with_constant_statistics(network, task, Plan({})) == (network, task, Absorbed((), {}))


def test_gradients_are_clipped_where_statistics_are_constant_unless_an_l_step_says_how():
    task, params = network()
    one, still, _ = with_constant_statistics(untied(params, task.module), task, Plan({}))
    assert SHORT.within(task, laconic.Budget(size=600)).l_step.clip is None
    assert SHORT.within(still, laconic.Budget(size=600)).l_step.clip == 0.01
    own = replace(SHORT, l_step=Optimization(1, 0.05, clip=0.2))
    assert own.within(still, laconic.Budget(size=600)).l_step.clip == 0.2
    free, held = (minimise(still, one.params, Optimization(3, 3.0, clip=clip), 0)[1] for clip in (None, 0.01))
    assert held < 0.3 < free


def test_a_state_with_statistics_that_were_trained_is_not_gone_on_from():
    task, params = network()
    states = []
    how = replace(SHORT, steps=1, finetune=Optimization(0))
    options = {"task": task, "effort": "train", "size": SIZE, "training": how}
    laconic.compress(params, **options, fold=False, watch=states.append)
    with pytest.raises(PlanError, match=r"statistics of batch normalization were trained: go on with fold=False"):
        laconic.compress(params, **options, resume=states[-1])
