"""The bound meter: limits beside slow twins, laws over layers, the golden rules under Σ, the record and its file."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from trained import shrunk

import laconic
from laconic.calibrate import meter
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.levels import at_rate, bits
from laconic.calibrate.meter import METER, Measured, Meter, Reading, blank, metered
from laconic.calibrate.recursion import Recursion
from laconic.errors import FormatError
from laconic.format import container
from laconic.insight.gap import GAINS, gap, shaping
from laconic.insight.ledger import ledger
from laconic.models import data
from laconic.models.params import params_of, to_numpy
from laconic.models.ties import untied
from laconic.quantize.budget import Budget
from laconic.theory.importance.golden import inner
from laconic.theory.metric import Kronecker
from laconic.theory.rate_distortion.gaussian import water_filling
from laconic.training.task import classification


def correlated(n: int, power: float, seed: int = 0) -> np.ndarray:
    """Second moments with eigenvalues i^−power."""
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    moments = basis * np.arange(1.0, n + 1) ** -power @ basis.T
    return (moments + moments.T) / 2


def of_one(measured: Measured, size: int) -> Meter:
    return metered({"w": measured}, {"w": size}, size)


@pytest.mark.parametrize("rate", [1.0, 3.0])
@pytest.mark.parametrize("water", [True, False])
def test_a_file_of_gaussians_lies_above_its_limit_by_order_and_shaping(rate: float, water: bool):
    """R(D) is that of theory at the file's own error; what the meter does not know of the integers is little."""
    rng = np.random.default_rng(1)
    weights, moments = rng.standard_normal((300, 64)).astype(np.float32), correlated(64, 2.0)
    how = Recursion(water=water, states=8)
    found = at_rate(weights, moments, rate, how)
    one = Measured.of(weights, found.code.decompress(), moments[None], found.order, found.code.step.array)
    variances = np.linalg.eigvalsh(moments) * np.square(weights, dtype=np.float64).mean()
    theory = water_filling(variances, np.full(64, 300.0), found.error).rate / weights.size
    assert one.error == pytest.approx(found.error)
    meter = metered({"weight": one}, {"weight": weights.size}, weights.size)
    assert meter.limit == pytest.approx(theory, abs=1e-3)
    file = container.LacFile(container.dumps({"weight": found.code}), "a layer")
    parts = gap(file, ledger(file), meter)
    assert parts.above == pytest.approx(bits(found) / weights.size - theory, abs=1e-3)
    assert sum(parts.parts.values()) == pytest.approx(parts.above, abs=1e-12)
    if water or rate == 3:  # at low rates a price on bits does better than one step in the mean
        assert abs(parts.parts["model"]) < 0.03
    assert parts.parts["order"] < 0.13 if water else parts.parts["order"] > 0.3


def test_steps_at_the_water_level_cost_what_each_direction_by_itself_does():
    """Any order: R = Σ ½ log₂(1 + v/θ), D = Σ θ v/(θ + v); one step adds ½ log₂(AM / GM) of u² for small errors."""
    rng, n, rows = np.random.default_rng(2), 12, 40
    moments, weights = correlated(n, 1.5), rng.standard_normal((rows, n))
    columns = rng.permutation(n)
    lower = np.linalg.cholesky(moments[np.ix_(columns, columns)][::-1, ::-1])[::-1, ::-1]
    u = np.empty(n)
    u[columns] = np.diag(lower)
    variances = np.square(weights).mean() * np.linalg.eigvalsh(moments)
    for scale in (1e-3, 0.05, 0.4):
        other = weights + scale * rng.standard_normal(weights.shape)
        one = Measured.of(weights, other, moments[None], columns, 1 / u)
        low, high = 0.0, 1e9
        for _ in range(200):
            level = (low + high) / 2
            short = rows * (level * variances / (level + variances)).sum() < one.error
            low, high = (level, high) if short else (low, level)
        expected = rows * 0.5 * np.log2(1 + variances / high).sum()
        assert one.successive == pytest.approx(expected, rel=1e-5)
        if scale == 1e-3:
            single = Measured.of(weights, other, moments[None], columns, np.ones(1))
            unequal = 0.5 * (math.log2(np.square(u).mean()) - np.log2(np.square(u)).mean())
            assert (single.successive - one.successive) / weights.size == pytest.approx(unequal, abs=2e-3)


def test_nothing_needs_less_than_the_limit():
    """Whatever order, steps, damping, groups and dead inputs; errors from next to nothing to more than all there is."""
    rng = np.random.default_rng(3)
    for case in range(120):
        n, groups = int(rng.integers(1, 9)), int(rng.integers(1, 3))
        read = rng.standard_normal((groups, int(rng.integers(1, 12)), n)) * np.exp(2 * rng.standard_normal(n))
        if case % 3 == 0:
            read[:, :, rng.integers(n)] = 0.0
        moments = np.einsum("gki,gkj->gij", read, read)
        weights = rng.standard_normal((3 * groups, n))
        scale = 10.0 ** rng.uniform(-4, 0.7)
        one = Measured.of(
            weights, weights + scale * rng.standard_normal(weights.shape), moments, rng.permutation(n),
            np.exp(rng.standard_normal(n)), worth=float(rng.uniform(0.1, 9)), damping=float(rng.choice([1e-8, 1e-2])),
        )  # fmt: skip
        raw = one.sources.counts.sum()
        least = water_filling(one.sources.variances, one.sources.counts, one.error).rate if raw else 0.0
        assert one.successive >= least - 1e-6 * max(raw, 1)


def test_golden_rules_under_sigma_and_the_factor_that_keeps_the_first():
    rng = np.random.default_rng(4)
    weights, moments = rng.standard_normal((5, 2, 3)), correlated(6, 1.0)
    compressed = 0.8 * weights + 0.2 * rng.standard_normal(weights.shape)
    columns, steps = np.arange(6), np.ones(1)
    one = Measured.of(weights, compressed, moments[None], columns, steps)
    metric = Kronecker(torch.eye(5, dtype=torch.float64), torch.from_numpy(moments))
    w, c = torch.from_numpy(weights), torch.from_numpy(compressed)
    assert one.residual == pytest.approx(inner(metric, w - c, c) / inner(metric, c, c))
    assert one.objective == pytest.approx(inner(metric, w - c, w - c) / inner(metric, w, w))
    reading = Reading(0.0, one.residual, one.objective)
    factored = Measured.of(weights, reading.factor * compressed, moments[None], columns, steps)
    assert abs(factored.residual) < 1e-12
    assert reading.factored == pytest.approx(factored.objective, rel=1e-9)
    assert reading.factored < one.objective
    zeros = Measured.of(weights, 0 * weights, moments[None], columns, steps)
    assert (zeros.residual, zeros.objective) == (0.0, pytest.approx(1.0))
    unread = Measured.of(weights, compressed, np.zeros((1, 6, 6)), columns, steps)
    assert (unread.error, unread.objective, of_one(unread, 30).limit) == (0.0, 0.0, 0.0)


def test_a_record_says_what_the_meter_says_and_takes_no_more_than_its_room():
    rng = np.random.default_rng(5)
    names = [f"layer{at}.weight" for at in range(22)]
    readings = {
        name: Reading(rng.uniform(0, 5), 0.1 * rng.standard_normal(), 10 ** rng.uniform(-5, 0)) for name in names
    }
    meter = Meter.parse(Meter(1.23456, 0.012345, 0.12345, readings).text(), names)
    assert Meter.parse(meter.text(), names) == meter
    assert list(meter.readings) == names
    assert meter.readings[names[3]].objective == pytest.approx(readings[names[3]].objective, rel=5e-3)
    plain, room, own = (
        container.bits({}, given) // 8 for given in ({}, {METER: blank(len(names))}, {METER: meter.text()})
    )
    assert own <= room < plain + 480


BAD = {
    "": "1 numbers; of 1 weights there should be 6",
    "1 0 0 1 0 1 2 2 2": "9 numbers",
    "1 0 0 one 0 1": "what should be numbers is none",
    "nan 0 0 1 0 1": "not between 0 and 64",
    "1 0 -1 1 0 1": "not between 0 and 64",
    "1 0 0 1e99 0 1": "not between 0 and 64",
    "1 0 0 1 inf 1": "a residual that is not finite",
    "1 0 0 1 0 -1": "an objective that is negative",
}


@pytest.mark.parametrize(("text", "words"), BAD.items(), ids=BAD)
def test_what_is_no_record_is_refused(text: str, words: str):
    with pytest.raises(FormatError, match=words):
        Meter.parse(text, ["w"])


@cache
def digits() -> tuple[laconic.Task, laconic.Result]:
    """A network of two layers, and its file of 3 bits."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    task = classification(net, data.load("digits", None, "pixels/16"))
    return task, laconic.compress(net, task=task, effort="calibrate", bits=3, samples=300)


def test_a_network_is_metered_and_its_file_says_so_within_the_budget():
    task, result = digits()
    size = 3 * 18_944 // 8
    told = result.calibration
    assert 0.99 * size <= result.file_bytes <= size
    assert result.fitted.file_bytes == result.file_bytes
    file = container.LacFile(container.dumps(result.codes, result.metadata), "a file")
    assert len(container.dumps(result.codes, result.metadata)) == result.file_bytes
    measured = gap(file, ledger(file))
    assert measured == result.meter()
    assert told.record == {METER: told.meter.text()}
    assert measured.bits == pytest.approx(result.fitted.bits_per_weight)
    assert measured.limit + sum(measured.parts.values()) == pytest.approx(measured.bits, abs=1e-12)
    assert min(bits for part, bits in measured.parts.items() if part != "model") >= 0
    assert [row.name for row in measured.rows] == ["1.weight", "3.weight"]
    before, after = params_of(task.module), result.params
    seen = Calibration.of(task, samples=300).seen
    inputs = torch.cat([batch[0] for batch in seen]).flatten(1)
    with torch.no_grad():
        reads = {"1.weight": inputs, "3.weight": task.module[1:3](inputs)}
    ready = Ready.of(untied(before, task.module), Calibration.of(task, samples=300))
    felt = {one.name: one.rows for one in ready.network.subjects}
    for row in measured.rows:  # by hand: covariances, and the errors of what is in the file
        sigma = shrunk(reads[row.name])
        w, c = (to_numpy(params[row.name]).astype(np.float64) for params in (before, after))
        energy, lost, kept = (np.trace(m @ sigma @ m.T) for m in (w, w - c, c))
        assert row.objective == pytest.approx(lost / energy, rel=1e-2)
        assert row.residual == pytest.approx(np.trace((w - c) @ sigma @ c.T) / kept, rel=1e-2, abs=1e-5)
        together = felt[row.name].whole(len(w))
        assert len(felt[row.name].between) == len(w), "rows make good each other's errors here"
        factors = (np.linalg.eigvalsh(one).clip(0) for one in (together, sigma))
        variances = np.outer(*factors).ravel() * np.square(w).mean()
        lost = np.trace(together @ (w - c) @ sigma @ (w - c).T)
        theory = water_filling(variances, np.ones(w.size), lost).rate / w.size
        assert row.limit == pytest.approx(theory, rel=1e-2)


def test_fast_files_are_as_they_were_and_small_ones_have_no_record():
    task, _ = digits()
    ready = Ready.of(untied(params_of(task.module), task.module), Calibration.of(task, samples=100))
    quick, other = (ready.fitted(Budget(bits=3), "fast", {}, meter=meter) for meter in (True, False))
    assert container.dumps(quick[0].codes) == container.dumps(other[0].codes)
    assert quick[1].meter is None
    assert quick[1].record == {}
    small = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    samples = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    result = laconic.compress(small, bits=12, calibration=samples, metadata={"net": "toy"})
    assert result.calibration.meter is not None
    assert METER not in result.metadata
    assert sum(result.meter().parts.values()) == pytest.approx(result.meter().above)
    with pytest.raises(laconic.LaconicError, match="and so does meter"):
        laconic.compress(small, bits=12, meter=False)


def test_a_quality_is_metered_too():
    task, _ = digits()
    result = laconic.compress(task.module, task=task, effort="calibrate", kl=2e-5, samples=300)
    assert result.calibration.quality.value <= 2e-5
    assert result.file_bytes == result.fitted.file_bytes
    assert METER in result.metadata
    assert result.meter().bits == pytest.approx(8 * result.file_bytes / 18_944)


def test_a_trellis_loses_less_the_more_states_it_has():
    losses = [shaping(nu) for nu in sorted(GAINS)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(0.2546, abs=1e-4)


def test_moments_that_rounding_left_below_0_are_metered_with_a_larger_ridge():
    source = np.random.default_rng(0).normal(size=(6, 6))
    turned = np.linalg.qr(source)[0]
    moments = turned @ np.diag([1.0, 0.5, 0.2, 0.1, 1e-3, -1e-3]) @ turned.T * 1e-46
    root = meter._root((moments + moments.T) / 2, 1e-52)
    assert np.isfinite(root).all()
    assert np.linalg.eigvalsh(root @ root.T - moments).min() > 0
