"""Moments about the mean against least squares with a bias of its own; networks side by side against runs anew."""

import numpy as np
import pytest
import torch
from sklearn.covariance import OAS
from small_nets import net
from torch import nn

from laconic.calibrate import statistics
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.lockstep import is_straight
from laconic.calibrate.statistics import Statistics, _Anew, following
from laconic.models.params import all_params_of
from laconic.theory.importance.moments import Moments


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Correlations count as they are."""
    monkeypatch.setattr(statistics, "shrinkage", lambda *_: 0.0)


def read(rows: int, groups: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """What a weight reads in a network and in another, far from 0, shape (groups, rows, 6)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((groups, rows, 6)) @ rng.standard_normal((6, 6)) + 3 * rng.standard_normal(6)
    return x, x + 0.3 * rng.standard_normal(x.shape) + 0.5


def gathered(after: np.ndarray, before: np.ndarray | None, samples: int) -> Moments:
    moments = Moments()
    others = () if before is None else [torch.from_numpy(before)]
    moments.add([torch.from_numpy(after)], samples, others)
    return moments


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("drifted", [False, True])
@pytest.mark.usefixtures("whole")
def test_a_free_bias_is_the_centred_problem(groups, drifted):
    """For any Ŵ: the error with the best bias is that about the means, which `shift` adds to b."""
    before, after = read(40, groups)
    after = after if drifted else before
    found = Statistics.of(gathered(after, before if drifted else None, 20), biased=True)
    rng = np.random.default_rng(1)
    weights, compressed = rng.standard_normal((2, 3 * groups, 6))
    shift, cross = found.shift(weights, compressed), found.moments if found.cross is None else found.cross
    for g in range(groups):
        own = slice(3 * g, 3 * g + 3)
        missed = before[g] @ weights[own].T - after[g] @ compressed[own].T
        best, error = np.linalg.lstsq(np.ones((40, 1)), missed, rcond=None)[:2]
        assert shift[own] == pytest.approx(best[0])
        centred_original = (before[g] - before[g].mean(0)).T @ (before[g] - before[g].mean(0)) / 20
        for r in range(own.start, own.stop):
            w, v = weights[r], compressed[r]
            total = w @ centred_original @ w - 2 * w @ cross[g] @ v + v @ found.moments[g] @ v
            assert total == pytest.approx(error[r - own.start] / 20)
    assert (found.moments == found.moments.transpose(0, 2, 1)).all()
    assert found.positions == 2


@pytest.mark.usefixtures("whole")
def test_without_a_bias_moments_are_those_about_zero():
    before, after = read(40)
    for samples, biased in ((20, False), (10, True)):
        few = slice(None) if not biased else slice(10)
        found = Statistics.of(gathered(after[:, few], before[:, few], samples), biased=biased)
        assert found.moments[0] == pytest.approx(after[0, few].T @ after[0, few] / samples)
        assert found.cross[0] == pytest.approx(before[0, few].T @ after[0, few] / samples)
        assert not found.shift(np.ones((2, 6)), np.zeros((2, 6))).any()


@pytest.mark.parametrize(("rows", "columns", "alike"), [(60, 40, 0.0), (60, 40, 2.0), (30, 90, 0.5), (4000, 40, 2.0)])
def test_correlations_of_few_samples_are_shrunk_as_the_oracle_would(rows, columns, alike):
    """Beside scikit-learn's, which leaves terms of 2 / columns out, on columns of unit variance."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((rows, columns)) + alike * rng.standard_normal((rows, 1))
    x = (x - x.mean(0)) / x.std(0)
    theirs = OAS(assume_centered=True).fit(x).shrinkage_
    units = np.exp(rng.standard_normal(columns))
    found = Statistics.of(gathered((x * units)[None], None, rows), biased=True).moments[0]
    plain = (x * units).T @ (x * units) / rows
    ours = 1 - (found / plain)[~np.eye(columns, dtype=bool)]
    assert ours.std() < 1e-9
    assert ours.mean() == pytest.approx(theirs, rel=0.06)
    assert np.diag(found) == pytest.approx(np.diag(plain))


def test_what_never_changes_has_no_moments():
    _, x = read(40)
    x = x.astype(np.float32)
    x[:, :, [1, 4]] = 7.3
    found = Statistics.of(gathered(x, None, 40), biased=True).moments[0]
    assert not found[[1, 4]].any()
    assert not found[:, [1, 4]].any()
    assert np.linalg.eigvalsh(found[np.ix_([0, 2, 3, 5], [0, 2, 3, 5])]).min() > 1e-3


@pytest.mark.parametrize("name", ["conv", "grouped", "mlp", "language", "tied", "block"])
def test_side_by_side_is_as_anew(name):
    module, samples = net(name)
    calibration = Calibration.of(module, samples)
    params = {key: tensor.detach() for key, tensor in all_params_of(module).items()}
    survey = calibration.survey(params)
    places = [place for place in survey.places if not place.diagonal]
    assert is_straight(places)
    anew = _Anew(calibration, dict(params), dict(params), 16)
    with following(calibration, params, survey, 16) as follower:
        assert not isinstance(follower, _Anew)
        for place in places:
            one, two = (each.statistics(place.name, biased=True) for each in (follower, anew))
            assert np.allclose(one.moments, two.moments, rtol=1e-4, atol=1e-5)
            assert np.allclose(one.cross, two.cross, rtol=1e-4, atol=1e-5)
            assert one.positions == two.positions
            changed = params[place.name] * 0.5
            follower.put(place.name, changed)
            anew.put(place.name, changed)
    assert not [part for part in module.modules() if part._forward_pre_hooks]


def test_a_layer_that_is_called_twice_is_run_anew():
    module, samples = net("twice")
    calibration = Calibration.of(module, samples)
    params = all_params_of(module)
    with following(calibration, params, calibration.survey(params), None) as follower:
        assert isinstance(follower, _Anew)
        assert isinstance(module.a, nn.Linear)
        assert follower.statistics("a.weight", biased=False).positions == 3
