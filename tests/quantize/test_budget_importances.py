"""Budgets under importances: less of the error that counts in the same bytes, and all else that holds of a budget."""

from dataclasses import replace

import numpy as np
import pytest

from laconic.errors import WeightsError
from laconic.format import container
from laconic.quantize.budget import NEAR, Budget, Fitted, fit, network
from laconic.quantize.budget.weighing import FLOOR, Weighing
from laconic.quantize.lattice import Quantizer, prepare

from .test_budget import NETS, checked, elements, noise

Net = dict[str, np.ndarray]
WITH_OUTLIER = {"w": noise(60, 80), "v": noise(30, 20, 3, 3, seed=1)}
WITH_OUTLIER["w"][3, 4] = 1e4


def uneven(net: Net) -> Net:
    """Importances of all tensors, biases too, that differ from weight to weight and from tensor to tensor."""
    rng = np.random.default_rng(1)
    return {
        name: (rng.gamma(0.5, size=array.shape) * 10.0 ** rng.uniform(-8, -6)).astype(np.float32)
        for name, array in net.items()
    }


def lost(net: Net, found: Fitted, h: Net) -> float:
    """Σ h (w − ŵ)²."""
    errors = {name: code.decompress().astype(np.float64) - net[name] for name, code in found.codes.items()}
    return float(sum((h[name].astype(np.float64) * error**2).sum() for name, error in errors.items()))


def data(found: Fitted) -> bytes:
    return container.dumps(found.codes)


@pytest.mark.parametrize(
    ("name", "bits"), [("matrix", 2), ("kernels", 3), ("heavy", 1), ("deep", 2), ("short floats", 4)]
)
def test_less_is_lost_of_what_counts_in_the_same_bytes(name: str, bits: float):
    net, h = NETS[name], uneven(NETS[name])
    plain, found = fit(net, Budget(bits=bits)), fit(net, Budget(bits=bits), importances=h)
    checked(net, found)
    allowed = bits * elements(net) / 8
    assert allowed * (1 - NEAR) < found.file_bytes <= allowed
    assert lost(net, found, h) < 0.9 * lost(net, plain, h)
    assert min(signal.snr for signal in found.signals.values()) > min(found.snr - 3, 6) - 0.5  # the floor holds


@pytest.mark.parametrize("net", [NETS["kernels"], WITH_OUTLIER], ids=["kernels", "outlier"])
def test_importances_that_say_nothing_leave_the_bytes_as_they_are(net: Net):
    plain = data(fit(net, Budget(bits=3)))
    for of in (7e-9, 0.0):
        assert (
            data(fit(net, Budget(bits=3), importances={name: np.full(w.shape, of) for name, w in net.items()})) == plain
        )
    assert data(fit(net, Budget(bits=3), importances={"elsewhere": noise(3)})) == plain


def test_only_ratios_matter_and_threads_do_not(monkeypatch: pytest.MonkeyPatch):
    net, h = NETS["deep"], uneven(NETS["deep"])
    found = data(fit(net, Budget(bits=2), importances=h, threads=1))
    assert data(fit(net, Budget(bits=2), importances=h, threads=2)) == found
    assert data(fit(net, Budget(bits=2), importances={name: 2.0**20 * one for name, one in h.items()})) == found
    monkeypatch.setattr(network, "KEPT", 1)
    assert data(fit(net, Budget(bits=2), importances=h)) == found  # tensors that are read anew in each pass


def test_steps_are_as_one_over_the_root_of_the_mean():
    net = {name: noise(80, 90, seed=place) for place, name in enumerate("abc")}
    found = fit(net, Budget(bits=4), importances={"a": np.full((80, 90), 1.0), "b": np.full((80, 90), 16.0)})
    step = {name: float(code.step.array[0]) for name, code in found.codes.items()}  # type: ignore[attr-defined]
    assert step["a"] / step["b"] == 4
    assert step["a"] > step["c"] > step["b"]  # which has no importance: the mean of all, 8.5
    assert step["c"] / step["b"] == pytest.approx(np.sqrt(16 / 8.5), rel=0.05)


def test_an_snr_and_signals_are_those_of_the_weights():
    net, h = NETS["kernels"], uneven(NETS["kernels"])
    found = fit(net, Budget(snr=14), importances=h)
    back = checked(net, found)  # the SNR, too
    assert 14 <= found.snr < 14.1
    for name, signal in found.signals.items():
        assert signal.lost == pytest.approx(float(((back[name].astype(np.float64) - net[name]) ** 2).sum()))


@pytest.mark.parametrize("nu", [0, 3])
def test_what_is_lost_and_what_of_it_counts_are_told_apart(nu: int):
    values, h = noise(40, 50, dtype=np.float64), uneven({"w": noise(40, 50)})["w"] * 1e6
    for finer in (1.0, 2.0):
        source = replace(prepare("w", values, 0.1, importances=h), finer=finer)
        found = Quantizer([source], nu).first(0.5)
        error = (found.codes()["w"].decompress() - values) ** 2
        assert found.lost[0] == pytest.approx(error.sum())
        assert found.distortion == pytest.approx((h * error).sum())
        assert found.error == pytest.approx(error.sum())


def test_a_transformed_kernel_has_the_mean_of_its_importances_and_others_their_own():
    net, h = NETS["kernels"]["conv"], uneven(NETS["kernels"])["conv"]
    alike, own = (prepare("w", net, 0.1, cosine=cosine, importances=h) for cosine in (True, False))
    assert (alike.transform, own.transform) == ("cosine", "none")
    assert np.array_equal(own.importances, h.reshape(-1))
    assert alike.importances.reshape(h.shape) == pytest.approx(
        np.broadcast_to(h.mean(axis=(2, 3), keepdims=True), h.shape), rel=1e-5
    )


def test_a_weighing_is_what_it_says():
    rng = np.random.default_rng(0)
    given = {"a": rng.gamma(0.2, size=(20, 30)), "b": 50 * rng.gamma(0.2, size=(10, 10)), "dead": np.zeros((5, 5))}
    shapes = {**{name: h.shape for name, h in given.items()}, "none": (4, 4)}
    weighing = Weighing.of(given, shapes, {**dict.fromkeys(shapes, ()), "b": (7,)})
    others = np.delete(given["b"], 7)
    mean = (given["a"].sum() + others.sum()) / (600 + 99 + 25)
    assert weighing.counted("a") == pytest.approx(given["a"].mean() / mean)
    assert weighing.counted("b") == pytest.approx(others.mean() / mean)
    assert (weighing.counted("dead"), weighing.counted("none")) == (FLOOR, 1)
    assert weighing.each("dead") is weighing.each("none") is None
    for name in "ab":
        weights, least = weighing.each(name), FLOOR * weighing.means[name]
        assert weights is not None
        whole = weighing.finer(name) ** 2 * weights
        expected = np.maximum(given[name], least) / mean
        if name == "b":
            expected.reshape(-1)[7] = least / mean
        assert whole == pytest.approx(expected, rel=1e-5)
        assert 2 ** (-1 / 8) < weights.mean() < 2 ** (1 / 8) * 1.01


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.ones((200, 150)), r"w: importances have shape \(200, 150\), its weights \(150, 200\)"),
        (np.full((150, 200), np.nan), "w: importances are finite and not negative"),
        (np.where(np.arange(200) == 3, -1, np.ones((150, 200))), "w: importances are finite and not negative"),
        (np.where(np.arange(200) == 3, np.inf, np.ones((150, 200))), "w: importances are finite and not negative"),
    ],
    ids=["shape", "NaN", "negative", "infinite"],
)
def test_what_is_no_importance_is_refused_by_the_name_of_its_tensor(bad: np.ndarray, words: str):
    with pytest.raises(WeightsError, match=words):
        fit(NETS["matrix"], Budget(bits=3), importances={"w": bad})
