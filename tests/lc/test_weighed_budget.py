"""A budget under an importance, from the front door: a trained network, and each kind of metric."""

import numpy as np
import pytest
import torch
from toys import classifier, trained

import laconic
from laconic.errors import PlanError, UnsupportedMetric, WeightsError
from laconic.theory.importance import Importance, estimate, kronecker
from laconic.theory.metric import Diagonal, Kronecker, Quartic, importances_of


@pytest.fixture(scope="module")
def task():
    return classifier(hidden=100)


@pytest.fixture(scope="module")
def params(task):
    return trained(task)


def same(a, b):
    return all(torch.equal(a.params[name], b.params[name]) for name in a.params)


@pytest.mark.parametrize("name", ["gradient", "unsupervised"])
def test_less_is_lost_of_what_matters_in_a_trained_network(task, params, name):
    metrics = estimate(name, task, params)
    plain = laconic.compress(params, bits=5, task=task)
    found = laconic.compress(params, bits=5, task=task, importance=name)

    def lost(result):
        weights = [key for key in params if params[key].ndim > 1]
        return sum(metrics[key].error(params[key], result.params[key]) for key in weights)

    assert lost(found) < 0.8 * lost(plain)
    assert 0.99 * plain.file_bytes < found.file_bytes <= 5 * sum(t.numel() for t in params.values() if t.ndim > 1) / 8
    assert same(found, laconic.compress(params, laconic.Plan({}, importance=name), task, bits=5))
    assert same(found, laconic.compress(params, laconic.Plan({}), bits=5, metrics=metrics))
    assert not same(found, plain)


def test_it_goes_before_the_plans_own_and_with_a_plan_alone(task, params):
    rows = {"*.weight": laconic.KeepLargest(0.2)}
    own = laconic.Plan(rows, importance=Importance("gradient"))
    other = laconic.compress(params, laconic.Plan(rows), task, "direct", importance="unsupervised")
    assert same(other, laconic.compress(params, own, task, "direct", importance="unsupervised"))
    assert not same(other, laconic.compress(params, own, task, "direct"))


def test_a_kronecker_metric_is_its_diagonal(task, params):
    metrics = kronecker(task, params)
    names = [name for name in metrics if isinstance(metrics[name], Kronecker)]
    assert names
    diagonal = {name: Diagonal(importances_of(metrics, name, params[name])) for name in names}
    for name in names:  # its twin: the error of one weight that moves by 1
        whole, moved = metrics[name], torch.zeros_like(params[name])
        moved[1, 2] = 1
        assert float(diagonal[name].importance[1, 2]) == pytest.approx(whole.error(moved, 0 * moved), rel=1e-5)
    assert same(*(laconic.compress(params, bits=5, metrics=given) for given in (metrics, diagonal)))


def test_what_a_budget_cannot_weigh_by_is_refused(task, params):
    with pytest.raises(UnsupportedMetric, match=r"weight: a budget weighs squared errors.* not Quartic.*plan another"):
        laconic.compress(params, bits=5, task=task, importance="gradient+hessian")
    name = next(name for name in params if params[name].ndim > 1)
    wrong = Kronecker(torch.eye(2), torch.eye(3))
    with pytest.raises(WeightsError, match=f"{name}: factors of 2 rows and 3 columns"):
        laconic.compress(params, bits=5, metrics={name: wrong})
    bias = next(name for name in params if params[name].ndim == 1)
    ones = torch.ones_like(params[bias])
    assert same(laconic.compress(params, bits=5, metrics={bias: Quartic(ones, ones)}), laconic.compress(params, bits=5))
    with pytest.raises(PlanError, match="importance 'gradient' needs a task"):
        laconic.compress(params, bits=5, importance="gradient")
    with pytest.raises(PlanError, match="importance is a name such as 'gradient', or an Importance, not 3"):
        laconic.compress(params, bits=5, task=task, importance=3)
    assert np.isfinite(laconic.compress(params, bits=5).fitted.snr)
