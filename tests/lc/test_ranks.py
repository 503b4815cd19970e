"""LC on several ranks: the path of one, C steps shared out, and a run that goes on with another number of ranks."""

from collections import Counter

import pytest
import torch
from ranks import on_ranks
from torch import nn
from toys import classifier, digits, same_params, same_state, seeded_module, trained

from laconic import AdaptiveCodebook, Joint, KeepLargest, Optimization, Plan
from laconic.errors import PlanError, WorkersError
from laconic.lc import steps
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.finetune import FineTuning
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Geometric
from laconic.lc.steps import run, start
from laconic.machines.catalogue import scheme_of
from laconic.machines.exchange import Exchange
from laconic.machines.wires import InOneProcess
from laconic.models.data import Dataset
from laconic.training.optimization import adam
from laconic.training.task import classification

SCHEDULE = Geometric(0.01, 1.1, 3, 0.0)
NEAR = 1e-4
"""From a weight on two ranks to that on one: sums are in another order."""


def each_sample_alone():
    """A network in which samples do not meet, as they do in BatchNorm, whose statistics each rank has its own of."""
    module = seeded_module(lambda: nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10)))
    pixels, labels = digits(300)
    return classification(module, Dataset("digits", {"train": (pixels, labels)}, classes=10), batch=50)


@pytest.fixture(scope="module")
def reference():
    return trained(each_sample_alone(), 3)


def begun(params, wires, name="float32", make=each_sample_alone):
    """The first state, and the L step of a network of its own."""
    task, last = make(), "2.*" if make is each_sample_alone else "4.*"
    shapes = {n: tuple(p.shape) for n, p in task.module.named_parameters()}
    plan = Plan({"0.weight": KeepLargest(0.2), last: Joint(AdaptiveCodebook(3))})
    first = start(params, plan, exchange=wires and Exchange(scheme_of(name), wires, shapes))
    return first, LearningStep(task, Optimization(1, 0.05), seed=5)


def path(params, wires, name="float32", make=each_sample_alone):
    """The states of a path, and the numbers of fine-tuning after it."""
    first, l_step = begun(params, wires, name, make)
    states = list(run(first, l_step, SCHEDULE))
    tuning = FineTuning.of(l_step.task, states[-1].all_codes)
    *_, tuned = tuning.states(None, Optimization(1, 1e-3, optimizer=adam), 2, first.exchange)
    return states, tuned.weights


def near(one, other):
    return one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=NEAR) for name in one)


def test_two_ranks_take_the_path_of_one_and_do_each_c_step_once(reference, monkeypatch):
    done = Counter()
    plain = steps.project

    def project(compression, weights, *more):
        done.update([tuple(weights)])
        return plain(compression, weights, *more)

    monkeypatch.setattr(steps, "project", project)
    alone, tuned = path(reference, None)
    once = Counter(done)
    assert once == {("0.weight",): 4, ("2.weight", "2.bias"): 4}
    done.clear()
    (one, first), (other, second) = on_ranks(2, lambda wires: path(reference, wires))
    assert done == once
    assert all(same_state(a, b) for a, b in zip(one, other, strict=True))
    assert same_params(first, second)
    assert near(alone[-1].weights, one[-1].weights)
    assert near(tuned, first)
    assert same_state(one[-1], path(reference, InOneProcess(2))[0][-1])


def test_ranks_end_with_the_same_bits_in_few_bits_and_with_statistics_of_batch_normalization():
    params = trained(classifier(), 3)
    (one, first), (other, second) = on_ranks(2, lambda wires: path(params, wires, "topk:0.1", classifier))
    assert all(same_state(a, b) for a, b in zip(one, other, strict=True))
    assert same_params(first, second)
    assert not torch.equal(one[-1].weights["1.running_mean"], params["1.running_mean"])


def test_a_path_goes_on_from_its_checkpoint_with_any_number_of_ranks(tmp_path, reference):
    first, l_step = begun(reference, InOneProcess(2))
    states = list(run(first, l_step, SCHEDULE))
    save_state(tmp_path / "a", states[1], {}, [state.progress for state in states[:2]])
    for count in (None, 2, 3):
        first, l_step = begun(reference, count and InOneProcess(count))
        state, _ = load_state(tmp_path / "a", first, {})
        *_, last = run(state, l_step, SCHEDULE)
        assert last.progress.step == 3
        assert same_state(last, states[-1]) if count == 2 else near(last.weights, states[-1].weights)


def test_ranks_that_begin_with_different_weights_are_told(reference):
    def work(wires):
        return path({**reference, "0.weight": reference["0.weight"] + wires.rank}, wires)

    for error in on_ranks(2, work):
        assert isinstance(error, WorkersError)
        assert "different weights" in str(error)


def test_a_tensor_that_cannot_be_compressed_is_an_error_on_all_ranks(reference):
    broken = {**reference, "2.weight": reference["2.weight"] * float("nan")}
    for error in on_ranks(2, lambda wires: path(broken, wires)):
        assert isinstance(error, WorkersError)
        assert "rank 1: 2.weight: 120 of 120 weights are NaN" in str(error)


def test_momentum_that_is_the_workers_is_refused(reference):
    with pytest.raises(PlanError, match="take topk in place of dgc"):
        begun(reference, InOneProcess(2), "dgc")
