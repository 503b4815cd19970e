"""R(D) of linear models and networks: published vectors, a slow twin, the channel that achieves it, and laws."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from laconic.quantize.clustering import cluster, nearest
from laconic.theory import rate_distortion

TABLE = {
    1: (1 / 3, [0.1111, 0.1667, 0.3333], 4.9624),
    3: (1, [1 / 3, 1 / 2, 1], 2.5850),
    6: (2.5, [0.8333, 1.25, 1], 1.2630),
    9: (4, [4 / 3, 2, 1], 0.5850),
    12: (7, [2.3333, 2, 1], 0.1813),
    14: (9, [3, 2, 1], 0),
}
"""D → μ, D_i and R (bits) of Gao et al.'s example, Σ_W = Σ_X = diag(3, 2, 1), theorem 2."""

DIAGONAL = np.array([3.0, 2.0, 1.0])


def moments(seed, n, rank=None):
    factor = np.random.default_rng(seed).standard_normal((n, rank or n + 1))
    return factor @ factor.T / factor.shape[1]


MODELS = {
    "diagonals": (DIAGONAL, np.array([0.5, 3.0, 1.0])),
    "diagonal weights": (DIAGONAL, moments(1, 3)),
    "diagonal inputs": (moments(2, 3), DIAGONAL),
    "both whole": (moments(3, 3), moments(4, 3)),
    "weights in a plane": (moments(5, 3, 2), moments(6, 3)),
    "inputs in a plane": (moments(7, 3), moments(8, 3, 2)),
    "an input that is never on": (DIAGONAL, np.array([2.0, 0.0, 1.0])),
    "one weight": (np.array([4.0]), np.array([[0.25]])),
}
each = pytest.mark.parametrize("name", MODELS)


def whole(m):
    return np.diag(m) if m.ndim == 1 else m


def largest(weights, inputs):
    """The error of no bits."""
    return float(np.trace(whole(weights) @ whole(inputs)))


@pytest.mark.parametrize("distortion", TABLE)
@pytest.mark.parametrize("form", [lambda m: m, np.diag])
def test_theorem_2_both_ways(distortion, form):
    level, errors, rate = TABLE[distortion]
    filled = rate_distortion.weighted_filling(form(DIAGONAL), form(DIAGONAL), distortion)
    assert filled.level == pytest.approx(level)
    assert filled.distortions == pytest.approx(errors, abs=1e-4)
    assert filled.rate == pytest.approx(rate, abs=1e-4)
    assert filled.distortion == pytest.approx(distortion)
    back = rate_distortion.weighted_filling_rate(form(DIAGONAL), form(DIAGONAL), filled.rate)
    assert back.distortion == pytest.approx(distortion)
    assert back.distortions == pytest.approx(filled.distortions)


def paper(weights, inputs, distortion):
    """Theorem 2 as it is written, ½ log₂ det Σ_W − Σ ½ log₂ D_i, for diagonal Σ_X."""
    variances = np.diag(whole(weights))
    errors = rate_distortion.weighted_filling(variances, inputs, distortion).distortions
    return 0.5 * np.log2(np.linalg.det(whole(weights))) - 0.5 * np.log2(errors).sum()


def test_the_papers_bound_is_tight_for_diagonal_weights_alone():
    for share in (0.05, 0.3, 0.8, 1.0):
        distortion = share * largest(DIAGONAL, DIAGONAL)
        exact = rate_distortion.weighted_filling(DIAGONAL, DIAGONAL, distortion).rate
        assert paper(DIAGONAL, DIAGONAL, distortion) == pytest.approx(exact, abs=1e-9)
    correlated = np.array([[1, 0.9], [0.9, 1]])
    assert paper(correlated, np.ones(2), 2.0) == pytest.approx(-1.198, abs=1e-3)
    assert rate_distortion.weighted_filling(correlated, np.ones(2), 2.0).rate == pytest.approx(0, abs=1e-9)
    for share in (0.3, 0.5, 0.9):
        assert rate_distortion.weighted_filling(correlated, np.ones(2), 2 * share).rate > paper(
            correlated, np.ones(2), 2 * share
        )
    # below the least eigenvalue every component gets bits, and log det Σ_W is all that counts
    assert rate_distortion.weighted_filling(correlated, np.ones(2), 0.1).rate == pytest.approx(
        paper(correlated, np.ones(2), 0.1)
    )


@each
def test_the_error_of_each_weight_sums_to_the_distortion(name):
    weights, inputs = MODELS[name]
    if inputs.ndim == 1:
        filled = rate_distortion.weighted_filling(weights, inputs, 0.4 * largest(weights, inputs))
        assert inputs @ filled.distortions == pytest.approx(filled.distortion)
        assert (filled.distortions <= np.diag(whole(weights)) + 1e-12).all()


def observed(weights, inputs, rows):
    """Rate and error of the channel that estimates W from the observation C W + n, n ~ N(0, I)."""
    covariance = rows @ weights @ rows.T + np.eye(len(rows))
    cross = weights @ rows.T
    error = weights - cross @ np.linalg.solve(covariance, cross.T)
    return 0.5 * np.log2(np.linalg.det(covariance)), np.trace(inputs @ error)


@each
def test_the_slow_twin_a_search_over_channels(name):
    """Descent on R + D / (2 ln 2 θ) over all linear observations finds the bound, and nothing below it."""
    weights, inputs = (whole(m) for m in MODELS[name])
    filled = rate_distortion.weighted_filling(*MODELS[name], 0.3 * largest(weights, inputs))
    price = 1 / (2 * np.log(2) * filled.level)
    n = len(weights)

    def lagrangian(flat):
        rate, error = observed(weights, inputs, flat.reshape(n, n))
        return rate + price * error

    rng = np.random.default_rng(0)
    found = min(minimize(lagrangian, rng.standard_normal(n * n)).fun for _ in range(4))
    assert found == pytest.approx(filled.rate + price * filled.distortion, rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(-3, 3))
def test_no_channel_is_below_the_bound(seed, n, size):
    weights, inputs = moments(seed, n), moments(seed + 1, n)
    rows = np.random.default_rng(seed).standard_normal((n, n)) * 10**size
    rate, error = observed(weights, inputs, rows)
    assert rate_distortion.weighted_filling(weights, inputs, error).rate <= rate + 1e-7 * (1 + rate)


def joint(weights, channel):
    """The covariance of (W, Ŵ)."""
    cross = weights @ channel.gain.T
    return np.block([[weights, cross], [cross.T, channel.gain @ cross + channel.noise @ channel.noise.T]])


def information(covariance, n, tiny=1e-9):
    """I(W; Ŵ) in bits of a Gaussian pair: −½ log₂ det of the correlations, on the support of each."""

    def whitener(m):
        values, vectors = np.linalg.eigh(m)
        used = values > tiny * values.max()
        return vectors[:, used] / np.sqrt(values[used])

    both = whitener(covariance[:n, :n]).T @ covariance[:n, n:] @ whitener(covariance[n:, n:])
    return -0.5 * np.log2(1 - np.linalg.svd(both, compute_uv=False) ** 2).sum()


@each
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_the_channel_achieves_the_bound(name, share):
    weights, inputs = MODELS[name]
    n, distortion = len(weights), share * largest(weights, inputs)
    channel = rate_distortion.achieving_channel(weights, inputs, distortion)
    filled = rate_distortion.weighted_filling(weights, inputs, distortion)
    covariance = joint(whole(weights), channel)
    cross, own = covariance[:n, n:], covariance[n:, n:]
    error = whole(weights) - cross - cross.T + own
    assert np.trace(whole(inputs) @ error) == pytest.approx(distortion)
    assert np.diag(error) == pytest.approx(filled.distortions, abs=1e-12)
    assert information(covariance, n) == pytest.approx(filled.rate, abs=1e-6)
    assert np.trace(whole(inputs) @ (cross - own)) == pytest.approx(0, abs=1e-12)  # the golden rule
    assert own == pytest.approx(cross, abs=1e-12)  # backward: Ŵ and W − Ŵ are independent


@pytest.mark.parametrize("name", ["diagonals", "both whole"])
def test_samples_of_the_channel(name):
    weights, inputs = MODELS[name]
    n, count, distortion = 3, 200_000, 0.5 * largest(weights, inputs)
    rng = np.random.default_rng(0)
    w = rng.multivariate_normal(np.zeros(n), whole(weights), count)
    sampled = rate_distortion.achieving_channel(weights, inputs, distortion).sample(w, rng)
    off = w - sampled
    assert np.einsum("ij,jk,ik->", off, whole(inputs), off) / count == pytest.approx(distortion, rel=0.02)
    assert np.einsum("ij,jk,ik->", sampled, whole(inputs), off) / count == pytest.approx(0, abs=0.02 * distortion)
    rate = rate_distortion.weighted_filling(weights, inputs, distortion).rate
    assert information(np.cov(w.T, sampled.T), n) == pytest.approx(rate, abs=0.01)


def test_a_full_rectangle_gets_nothing():
    """Algorithm 1 with its condition set right: Ŵ_i = 0 where D_i = E W_i²."""
    channel = rate_distortion.achieving_channel(DIAGONAL, DIAGONAL, 6.0)
    sampled = channel.sample(np.ones((5, 3)), np.random.default_rng(0))
    assert sampled[:, 2].tolist() == [0.0] * 5
    assert (sampled[:, :2] != 0).all()
    silent = rate_distortion.achieving_channel(DIAGONAL, DIAGONAL, 99.0).sample(np.ones(3), np.random.default_rng(0))
    assert silent.tolist() == [0.0] * 3
    twice = [channel.sample(np.ones((2, 3)), np.random.default_rng(1)).tolist() for _ in range(2)]
    assert twice[0] == twice[1]


variances = st.lists(st.floats(0.01, 100), min_size=1, max_size=8)


@given(variances, st.floats(0.01, 0.98), st.floats(0.1, 10), st.integers(0, 99))
def test_laws_of_the_curve(listed, share, scale, seed):
    weights = np.array(listed)
    inputs = moments(seed, len(weights))
    top = largest(weights, inputs)

    def rate(distortion):
        return rate_distortion.weighted_filling(weights, inputs, distortion).rate

    low, middle, high = share * top, (share + 0.01) * top, (share + 0.02) * top
    assert rate(low) > rate(middle) > rate(high) >= 0
    assert rate(middle) <= (rate(low) + rate(high)) / 2 + 1e-9
    assert rate_distortion.weighted_filling_rate(weights, inputs, rate(low)).distortion == pytest.approx(low)
    assert rate_distortion.weighted_filling(scale * weights, inputs, scale * low).rate == pytest.approx(
        rate(low), abs=1e-7
    )
    assert rate_distortion.weighted_filling(weights, scale * inputs, scale * low).rate == pytest.approx(
        rate(low), abs=1e-7
    )
    # a turn of both changes nothing: only Σ_W Σ_X counts
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal(inputs.shape))[0]
    turned = rate_distortion.weighted_filling(turn * weights @ turn.T, turn @ inputs @ turn.T, low)
    assert turned.rate == pytest.approx(rate(low), abs=1e-7)


def test_one_variance_for_all_weights_is_filling_over_the_eigenvalues_of_the_inputs():
    inputs = moments(0, 6)
    plain = rate_distortion.water_filling(0.3 * np.linalg.eigvalsh(inputs), np.ones(6), 0.5)
    for weights in (np.full(6, 0.3), 0.3 * np.eye(6)):
        filled = rate_distortion.weighted_filling(weights, inputs, 0.5)
        assert (filled.level, filled.rate) == pytest.approx((plain.level, plain.rate))


values = st.lists(st.tuples(st.floats(-5, 5, width=16), st.floats(0, 9, width=16)), min_size=1, max_size=9)


@given(values, st.integers(0, 9))
def test_exact_pruning_is_orthogonal(pairs, kept):
    w, importance = np.array(pairs).T
    score = importance * w * w
    pruned = np.where(np.argsort(np.argsort(-score)) < kept, w, 0)
    assert (pruned * importance * (w - pruned)).sum() == 0
    best = min(score.sum() - score[list(chosen)].sum() for chosen in combinations(range(len(w)), min(kept, len(w))))
    assert (importance * (w - pruned) ** 2).sum() == pytest.approx(best, abs=1e-9)


@given(values, st.integers(1, 4))
def test_exact_clusters_are_orthogonal(pairs, k):
    w, importance = np.array(pairs).T
    centres = cluster(w, importance, k)
    shared = centres[nearest(w, centres)]
    scale = (importance * w * w).sum()
    assert (shared * importance * (w - shared)).sum() == pytest.approx(0, abs=1e-9 * (1 + scale))


def test_empty_and_silent_models():
    for form in (lambda n: np.zeros(n), lambda n: np.zeros((n, n))):
        for n in (0, 2):
            assert rate_distortion.weighted_filling(form(n), form(n), 1.0).rate == 0
            assert rate_distortion.weighted_filling_rate(form(n), form(n), 3.0).distortion == 0
            assert rate_distortion.achieving_channel(form(n), form(n), 1.0).gain.shape == (n, n)
    unseen = rate_distortion.weighted_filling(np.array([2.0, 5.0]), np.array([1.0, 0.0]), 1.0)
    assert unseen.distortions == pytest.approx([1.0, 5.0])


@pytest.mark.parametrize(
    ("weights", "inputs", "distortion", "message"),
    [
        (np.ones(2), np.ones(3), 1.0, "2 weights and 3 inputs"),
        (np.ones((2, 3)), np.ones(2), 1.0, r"weights: .* shape \(2, 3\)"),
        (np.array(1.0), np.ones(1), 1.0, r"weights: .* shape \(\)"),
        (np.ones(2), np.array([1, np.nan]), 1.0, "inputs: finite"),
        (np.ones(2), np.array([1.0, -1e-30]), 1.0, "inputs: no direction"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2), 1.0, "weights: no direction"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), np.ones(2), 1.0, "weights: .* symmetric"),
        (np.ones(2), np.ones(2), 0.0, "infinitely many bits"),
        (np.ones(2), np.ones(2), np.nan, "infinitely many bits"),
    ],
)
def test_senseless_models_are_errors(weights, inputs, distortion, message):
    for call in (rate_distortion.weighted_filling, rate_distortion.achieving_channel):
        with pytest.raises(ValueError, match=message):
            call(weights, inputs, distortion)


def network(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "first": rate_distortion.layer(rng.exponential(size=5), 0.7, 4),
        "second": rate_distortion.layer(np.linalg.eigvalsh(moments(seed, 4)), 0.2, 3),
        "loud": rate_distortion.Sources(np.array([9.0, 0.0, 2.0]), np.array([2, 5, 0])),
    }


@pytest.mark.parametrize("distortion", [0.1, 2.0, 8.0, 1e3])
def test_a_network_is_one_long_list_of_numbers(distortion):
    layers = network()
    shares = rate_distortion.network_rate(layers, distortion)
    every = np.concatenate([np.repeat(s.variances, s.counts.astype(int)) for s in layers.values()])
    filled = rate_distortion.water_filling(every, np.ones(len(every)), distortion)
    assert (shares.level, shares.rate, shares.distortion) == pytest.approx(
        (filled.level, filled.rate, filled.distortion)
    )
    assert list(shares.rates) == list(layers)
    assert sum(shares.rates.values()) == pytest.approx(shares.rate)
    assert sum(shares.distortions.values()) == pytest.approx(shares.distortion)
    assert rate_distortion.network_distortion(layers, shares.rate).distortion == pytest.approx(shares.distortion)


def test_no_other_division_among_the_layers_is_better():
    layers = network()
    shares = rate_distortion.network_rate(layers, 3.0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        parts = rng.dirichlet(np.ones(3)) * 3.0
        apart = [rate_distortion.network_rate({n: s}, d).rate for (n, s), d in zip(layers.items(), parts, strict=True)]
        assert sum(apart) >= shares.rate - 1e-9
    alone = [rate_distortion.network_rate({n: s}, shares.distortions[n]).rate for n, s in layers.items()]
    assert alone == pytest.approx(list(shares.rates.values()))


def test_a_layer_is_so_many_linear_models():
    inputs = moments(3, 4)
    shares = rate_distortion.network_rate({"a": rate_distortion.layer(np.linalg.eigvalsh(inputs), 0.5, 7)}, 7 * 0.3)
    one = rate_distortion.weighted_filling(np.full(4, 0.5), inputs, 0.3)
    assert (shares.level, shares.rate) == pytest.approx((one.level, 7 * one.rate))


def test_unit_moments_are_the_error_of_the_weights():
    layers = {"a": rate_distortion.layer(np.ones(10), 4.0, 3), "b": rate_distortion.layer(np.ones(20), 1.0, 1)}
    shares = rate_distortion.network_rate(layers, 50 * 0.25)
    assert shares.rates["a"] == pytest.approx(30 * rate_distortion.gaussian_rate(4.0, 0.25))
    assert shares.rates["b"] == pytest.approx(20 * rate_distortion.gaussian_rate(1.0, 0.25))


def test_networks_without_numbers():
    assert rate_distortion.network_rate({}, 1.0).rate == rate_distortion.network_distortion({}, 1.0).distortion == 0
    silent = rate_distortion.network_distortion({"a": rate_distortion.layer(np.zeros(3), 1.0, 2)}, 5.0)
    assert silent.rates == {"a": 0.0}
    assert silent.distortions == {"a": 0.0}


def test_entropy():
    p = np.array([0.2, 0.5, 0.3])
    assert rate_distortion.entropy(p) == pytest.approx(-sum(x * np.log2(x) for x in p))
    assert rate_distortion.entropy(np.outer(p, p)) == pytest.approx(2 * rate_distortion.entropy(p))
    assert rate_distortion.entropy(np.array([0.0, 1.0])) == 0
    assert rate_distortion.entropy(np.full(256, 1 / 256)) == 8
    for wrong in ([0.5, 0.6], [1.5, -0.5], [], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="probabilities"):
            rate_distortion.entropy(np.array(wrong))
