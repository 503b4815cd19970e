"""The bound beside files: each curve is what its formula says, points are on it, and side information is paid for."""

import numpy as np
import pytest
import torch

import laconic
from laconic.errors import DataError, WeightsError
from laconic.format import container
from laconic.insight import bound
from laconic.insight.bound import GAUSSIAN, LAPLACIAN, SCALED
from laconic.theory.rate_distortion import gaussian_rate, laplacian_rate, weighted_filling


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_one_tensor_is_one_gaussian_and_one_laplacian():
    w = normal(50, 40)
    made = bound.of_weights({"w": w, "bias": normal(50), "table": np.arange(6).reshape(2, 3)})
    assert made.elements == 2000
    assert made.energy == pytest.approx((w**2).sum())
    for share in (0.5, 0.1, 1e-4):
        found = made.rates(made.energy * share)
        assert found[GAUSSIAN] == pytest.approx(gaussian_rate(1.0, share))
        assert found[LAPLACIAN] == pytest.approx(laplacian_rate(1.0, share), abs=1e-4)
    assert not any(made.rates(made.energy).values())
    assert all(rate == np.inf for rate in made.rates(0.0).values())


def test_tensors_share_one_water_level():
    """By brute force over the divisions of the error between two tensors."""
    large, small = 3 * normal(40, 30), normal(20, 30, seed=1)
    made = bound.of_weights({"a": large, "b": small})
    v, u = (large**2).mean(), (small**2).mean()
    for budget in (made.energy / 3, made.energy / 20):
        shares = np.linspace(1e-4, 1 - 1e-4, 4001)
        rates = [
            1200 * gaussian_rate(v, budget * share / 1200) + 600 * gaussian_rate(u, budget * (1 - share) / 600)
            for share in shares
        ]
        assert 1800 * made.rates(budget)[GAUSSIAN] == pytest.approx(min(rates), rel=1e-4)


def test_scales_are_found_and_paid_for():
    rows = np.repeat([1.0, 16.0], 100)[:, None]
    w = rows * normal(200, 300)
    made = bound.of_weights({"w": w})
    distortion = 0.01 * w.size  # each weight gets bits
    known = (gaussian_rate(1.0, 0.01) + gaussian_rate(256.0, 0.01)) / 2
    found = made.rates(distortion)
    assert known < found[SCALED] < known + 0.01 < found[GAUSSIAN] - 0.5
    side = 60000 * (found[SCALED] - known)
    assert 200 < side < 200 * 3, "at least a bit a row, and not many"


@pytest.mark.parametrize("share", [0.9, 0.3, 0.05, 1e-3, 1e-6])
def test_scales_never_cost_more_than_they_save(share):
    made = bound.of_weights({"w": normal(8, 8), "kernels": normal(4, 3, 3, 3, seed=1)})
    found = made.rates(share * made.energy)
    assert found[SCALED] <= found[GAUSSIAN]


def test_smooth_kernels_take_fewer_bits_by_their_cosines():
    smooth = normal(40, 40, 1, 1) + 0.1 * normal(40, 40, 3, 3, seed=1)
    made = bound.of_weights({"w": smooth})
    found = made.rates(made.energy / 1000)
    assert found[SCALED] < found[GAUSSIAN] - 1


def test_outputs_are_weighted_water_filling():
    """Of a layer by itself: the rows are independent models on the same correlated inputs."""
    w, root = normal(30, 6), normal(6, 6, seed=2)
    moments = root @ root.T
    made = bound.of_outputs({"w": w, "other": normal(3, 4)}, {"w": moments})
    assert made.energy == pytest.approx(np.trace(w @ moments @ w.T))
    assert made.elements == 192
    for share in (0.5, 0.1, 1e-3):
        each = weighted_filling(np.full(6, (w**2).mean()), moments, share * made.energy / 30)
        assert made.rates(share * made.energy)[GAUSSIAN] == pytest.approx(30 * each.rate / 192)


def test_a_gaussian_file_is_above_the_bound_and_not_far(tmp_path):
    params = {"w": torch.from_numpy(normal(300, 300)).float(), "b": torch.ones(300)}
    path = laconic.compress(params, laconic.Budget(bits=2)).save(tmp_path / "a.lac")
    made = bound.of_weights({name: tensor.numpy() for name, tensor in params.items()})
    with container.open(path) as file:
        point = made.point(file, "a")
    back = laconic.load(path)["w"]
    assert point.distortion == pytest.approx(float((back - params["w"]).double().square().sum()))
    assert point.bits == 8 * path.stat().st_size / 90_000
    assert point.snr == pytest.approx(10 * np.log10(made.energy / point.distortion))
    assert point.gaps[GAUSSIAN] == pytest.approx(point.bits - gaussian_rate(made.energy, point.distortion))
    assert 0 < point.others < 0.05
    assert 0 < point.gaps[GAUSSIAN] < 0.25


def test_the_error_of_outputs_is_that_of_the_layer(tmp_path):
    w, x = normal(20, 9), normal(500, 9, seed=3) @ normal(9, 9, seed=4)
    path = laconic.compress({"w": torch.from_numpy(w)}, laconic.AdaptiveCodebook(4)).save(tmp_path / "a.lac")
    made = bound.of_outputs({"w": w}, {"w": x.T @ x / 500})
    with container.open(path) as file:
        found = made.distortion(file, "a")
        apart = x @ (file["w"] - w).T
    assert found == pytest.approx((apart**2).sum(1).mean())


def test_a_lossless_file_has_no_gap(tmp_path):
    w = torch.from_numpy(normal(6, 5))
    path = laconic.compress({"w": w}, laconic.Lossless()).save(tmp_path / "a.lac")
    made = bound.of_weights({"w": w.numpy()})
    with container.open(path) as file:
        point = made.point(file, "a")
    assert (point.distortion, point.snr) == (0.0, np.inf)
    assert set(point.gaps.values()) == {-np.inf}


def test_files_of_other_weights_are_refused(tmp_path):
    path = laconic.compress({"w": torch.ones(6, 5)}, laconic.AdaptiveCodebook(1)).save(tmp_path / "a.lac")
    with container.open(path) as file:
        with pytest.raises(DataError, match=r"a.lac has nothing for v, whose shape is \(6, 5\)"):
            bound.of_weights({"v": normal(6, 5)}).distortion(file, "a.lac")
        with pytest.raises(DataError, match=r"a tensor of shape \(6, 5\) for w, whose shape is \(5, 6\)"):
            bound.of_weights({"w": normal(5, 6)}).distortion(file, "a.lac")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "nothing to bound"),
        ({"b": normal(4)}, "nothing to bound"),
        ({"w": np.zeros((2, 2)), "e": np.zeros((0, 3))}, "nothing to bound"),
        ({"w": np.array([[1.0, np.nan]])}, "w: weights are NaN or infinite"),
    ],
)
def test_what_has_no_bound_is_an_error(tensors, words):
    with pytest.raises(WeightsError, match=words):
        bound.of_weights(tensors)


def test_awkward_tensors_are_taken():
    tensors = {
        "one": np.array([[2.0]]),
        "zero": np.zeros((3, 4), np.float32),
        "empty": np.zeros((0, 3)),
        "half": normal(5, 6).astype(np.float16),
        "scalar": np.array(3.0),
    }
    made = bound.of_weights(tensors)
    assert made.elements == 1 + 12 + 30
    assert list(made.tensors) == ["one", "zero", "half"]
    found = made.rates(0.5)
    assert all(np.isfinite(rate) and rate > 0 for rate in found.values())


def test_progress_is_told_to_the_end():
    seen = []
    bound.of_weights({"w": normal(4, 4)}, lambda done, total: seen.append((done, total)))
    assert seen == [(number + 1, len(bound.RATES)) for number in range(len(bound.RATES))]
