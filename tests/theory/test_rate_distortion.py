"""Rate-distortion bounds against published vectors and slow twins."""

import numpy as np
import pytest
from crossing import usually

from laconic.theory import rate_distortion
from laconic.theory.rate_distortion import laplacian
from laconic.theory.rate_distortion.laplacian import CURVE, LEVELS, sampled

SPECTRUM = np.array([4, 1, 0.25, 0.0625])
RATES = {0.25: 0.578125, 0.5: 0.328125, 1: 0.133743, 2: 0.03125, 3: 0.0078125}
"""Bits a weight → squared error a weight for this spectrum."""

WEIGHTED = {
    1: ([0.1111, 0.1667, 0.3333], 4.9624),
    3: ([1 / 3, 1 / 2, 1], 2.5850),
    6: ([0.8333, 1.25, 1], 1.2630),
    9: ([4 / 3, 2, 1], 0.5850),
    12: ([2.3333, 2, 1], 0.1813),
    14: ([3, 2, 1], 0),
}
"""D → D_i and R (bits) of Gao et al.'s example, Σ_W = Σ_X = diag(3, 2, 1), theorem 2."""


@pytest.mark.parametrize(("rate", "error"), RATES.items())
def test_water_filling_both_ways(rate, error):
    counts = np.full(4, 5)
    assert rate_distortion.water_filling_rate(SPECTRUM, counts, 20 * rate).distortion == pytest.approx(
        20 * error, rel=1e-5
    )
    filled = rate_distortion.water_filling(SPECTRUM, counts, 20 * error)
    assert filled.rate == pytest.approx(20 * rate, abs=1e-4)
    assert filled.distortion == pytest.approx(20 * error)
    # what a bit more saves: dD/dR = −2 ln 2 θ
    saved = filled.distortion - rate_distortion.water_filling_rate(SPECTRUM, counts, filled.rate + 1e-6).distortion
    assert saved / 1e-6 == pytest.approx(2 * np.log(2) * filled.level, rel=1e-3)


@pytest.mark.parametrize("error", WEIGHTED)
def test_weighted_errors_are_variances(error):
    weights = np.array([3.0, 2.0, 1.0])
    shares, rate = WEIGHTED[error]
    filled = rate_distortion.water_filling(weights * weights, np.ones(3), float(error))
    assert filled.rate == pytest.approx(rate, abs=1e-4)
    assert filled.distortions / weights == pytest.approx(shares, abs=1e-4)


def slow_twin(variances: np.ndarray, counts: np.ndarray, distortion: float) -> tuple[float, float]:
    """Return level and bits, by bisection on the level."""
    low, high = 0.0, float(variances.max())
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if np.dot(counts, np.minimum(level, variances)) < distortion else (low, level)
    return level, 0.5 * float(
        sum(n * max(0.0, np.log2(v / level)) for v, n in zip(variances, counts, strict=True) if v)
    )


def test_water_filling_against_its_slow_twin():
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = int(rng.integers(1, 7))
        variances, counts = rng.lognormal(0, 2, size), rng.integers(0, 9, size)
        variances[rng.random(size) < 0.2] = rng.choice([0.0, variances[0]])
        total = float(np.dot(counts, variances))
        if total == 0:
            continue
        distortion = total * float(rng.uniform(0.01, 0.99))
        level, rate = slow_twin(variances, counts, distortion)
        filled = rate_distortion.water_filling(variances, counts, distortion)
        assert filled.level == pytest.approx(level, rel=1e-6)
        assert filled.rate == pytest.approx(rate, abs=1e-6)
        assert filled.distortion == pytest.approx(distortion)
        assert rate_distortion.water_filling_rate(variances, counts, filled.rate).distortion == pytest.approx(
            distortion
        )


def test_water_filling_at_its_ends():
    counts = np.ones(4)
    assert rate_distortion.water_filling(SPECTRUM, counts, 99.0).rate == 0
    assert rate_distortion.water_filling_rate(SPECTRUM, counts, 0.0).distortion == SPECTRUM.sum()
    assert rate_distortion.water_filling(np.zeros(2), np.ones(2), 1.0).rate == 0
    assert rate_distortion.water_filling_rate(np.zeros(2), np.ones(2), 1.0).distortion == 0
    assert rate_distortion.water_filling(np.zeros(0), np.zeros(0), 1.0).rate == 0
    assert rate_distortion.laplacian_filling(SPECTRUM, counts, 99.0).rate == 0


def test_senseless_arguments_are_errors():
    for call in (
        lambda: rate_distortion.gaussian_rate(1.0, 0.0),
        lambda: rate_distortion.gaussian_distortion(1.0, -1.0),
        lambda: rate_distortion.laplacian_rate(1.0, 0.0),
        lambda: rate_distortion.laplacian_distortion(1.0, -1.0),
        lambda: rate_distortion.water_filling(SPECTRUM, np.ones(3), 1.0),
        lambda: rate_distortion.water_filling(-SPECTRUM, np.ones(4), 1.0),
        lambda: rate_distortion.water_filling(SPECTRUM, np.ones(4), 0.0),
        lambda: rate_distortion.water_filling_rate(SPECTRUM, np.ones(4), -1.0),
        lambda: rate_distortion.laplacian_filling(SPECTRUM, np.ones(4), 0.0),
    ):
        with pytest.raises(ValueError, match=r"bits|source|negative"):
            call()


def plain_blahut(level: float, spacing: float = 0.05, reach: float = 9.0) -> tuple[float, float]:
    """Return D and R (bits) by the textbook iteration on the whole line, both alphabets the same grid."""
    x = np.arange(-round(reach / spacing), round(reach / spacing) + 1) * spacing
    p = np.exp(-np.sqrt(2) * np.abs(x))
    p /= p.sum()
    kernel, q = np.exp(-((x[:, None] - x) ** 2) / (2 * level)), np.full(len(x), 1 / len(x))
    for _ in range(800):
        joint = kernel * q / (kernel @ q)[:, None]
        q = p @ joint
    joint = p[:, None] * kernel * q / (kernel @ q)[:, None]
    return float((joint * (x[:, None] - x) ** 2).sum()), float(
        np.sum(joint * np.log2(np.maximum(joint, 1e-300) / np.maximum(p[:, None] * joint.sum(0), 1e-300)))
    )


@usually("level", [0.4], else_=[0.02, 0.1, 0.9])
def test_the_laplacian_against_its_slow_twin(level):
    distortion, rate = plain_blahut(level)
    assert rate_distortion.laplacian_rate(1.0, distortion) == pytest.approx(rate, abs=2e-3)


@pytest.mark.parametrize(
    "place", [3, 20, *(pytest.param(place, marks=pytest.mark.full) for place in range(25) if place not in (3, 20))]
)
def test_the_table_of_the_laplacian_is_what_blahut_and_arimoto_find(place):
    point = rate_distortion.blahut_arimoto(*sampled(LEVELS[place]), LEVELS[place], 4e-4, 20_000)
    assert (point.distortion, point.rate) == pytest.approx(
        (laplacian.DISTORTIONS[place], laplacian.RATES[place]), abs=2e-9
    )


@usually("level", [0.15], else_=[0.013, 0.05, 0.3, 0.55, 1.0, 1.6])
def test_the_laplacian_is_known_to_a_thousandth_of_a_bit(level):
    """Blahut's bounds hold the true rate between them, whatever the iteration did."""
    point = rate_distortion.blahut_arimoto(*sampled(level), level, 2e-4, 100_000)
    assert point.gap < 1e-3
    rate = rate_distortion.laplacian_rate(1.0, point.distortion)
    assert point.rate - point.gap - 1e-3 < rate < point.rate + 1e-3


def test_the_laplacian_lies_between_its_bounds():
    errors = np.exp(np.linspace(-9, -0.01, 400))
    rates = np.array([rate_distortion.laplacian_rate(1.0, d) for d in errors])
    assert (rates <= -0.5 * np.log2(errors) + 1e-9).all()
    assert (rates >= 0.5 * np.log2(np.e / np.pi / errors) - 1e-9).all()
    slopes = np.diff(rates) / np.diff(errors)
    assert (slopes < 0).all()
    assert (np.diff(slopes) > -1e-3).all()
    assert (np.diff(CURVE.distortions) > 0).all()
    assert LEVELS[0] == pytest.approx(CURVE.distortions[0], rel=1e-4)


def test_the_laplacian_scales_and_inverts():
    for rate in (0.05, 0.3, 1.0, 2.5, 6.0):
        error = rate_distortion.laplacian_distortion(3.0, rate)
        assert rate_distortion.laplacian_rate(3.0, error) == pytest.approx(rate, abs=1e-9)
        assert rate_distortion.laplacian_rate(0.3, error / 10) == pytest.approx(rate, abs=1e-9)
    assert rate_distortion.laplacian_distortion(2.0, 0.0) == pytest.approx(2.0)


def test_laplacian_filling_beats_other_divisions():
    variances, counts = np.array([4.0, 1.0, 0.05, 0.0]), np.array([10, 40, 100, 7])
    filled = rate_distortion.laplacian_filling(variances, counts, 30.0)
    assert filled.distortion == pytest.approx(30.0, rel=1e-9)
    assert filled.rate < rate_distortion.water_filling(variances, counts, 30.0).rate
    errors = filled.distortions
    for move in (1e-2, -1e-2):
        other = errors[0] * (1 + move), errors[1] - errors[0] * move * counts[0] / counts[1], errors[2]
        rates = [rate_distortion.laplacian_rate(v, d) for v, d in zip(variances[:3], other, strict=True)]
        assert float(np.dot(counts[:3], rates)) > filled.rate
