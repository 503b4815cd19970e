"""Low rank under metrics that are not the unit one, each against a slow twin; kernels as two convolutions."""

import itertools

import pytest
import torch
from cases import generator, heavy, importance, normal, twin_of
from crossing import usually
from torch.nn import functional as F

from laconic import AdaptiveCodebook, LowRank, UniformGrid
from laconic.csteps.factors import felt, whitened
from laconic.csteps.warm import distortion
from laconic.csteps.weighted_low_rank import fitted, weighted, weighted_error
from laconic.errors import UnsupportedMetric, WeightsError
from laconic.plans.toml import parse_compression
from laconic.theory.metric import Diagonal, Kronecker


def moments(size: int, seed: int, rank: int | None = None) -> torch.Tensor:
    """The second moments of noise, of a given rank."""
    x = normal(rank or 3 * size, size, seed=seed).double()
    return x.T @ x / len(x)


def descended(error, shape: tuple[int, int], rank: int, starts: int = 4) -> float:
    """The least error over factors that L-BFGS finds from several starts."""
    least = float("inf")
    for seed in range(starts):
        left, right = normal(shape[0], rank, seed=seed).double(), normal(rank, shape[1], seed=seed + 50).double()
        leaves = [left.requires_grad_(), right.requires_grad_()]
        optimizer = torch.optim.LBFGS(leaves, max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

        def closure(leaves=leaves, optimizer=optimizer):
            optimizer.zero_grad()
            loss = error(leaves[0] @ leaves[1])
            loss.backward()
            return loss

        optimizer.step(closure)
        least = min(least, float(error(leaves[0] @ leaves[1]).detach()))
    return least


# --- Kronecker metric ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("singular", [False, True])
def test_whitened_svd_is_the_best_of_descents_on_the_factors(rank, singular):
    g, a = moments(5, 1, 3 if singular else None), moments(7, 2, 4 if singular else None)
    w = normal(5, 7).double()
    found = distortion(LowRank(rank).project({"w": w}, {"w": Kronecker(g, a)}), {"w": w}, {"w": Kronecker(g, a)})

    def error(x):
        return torch.trace(g @ (w - x) @ a @ (w - x).T)

    least = descended(error, (5, 7), rank)
    assert found <= least + 1e-9
    assert found == pytest.approx(least, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_with_the_moments_of_inputs_it_is_reduced_rank_regression(rank):
    """Izenman 1975: with Y = X Wᵀ the answer is W projected on the first principal directions of Y under G."""
    x, w, g = normal(60, 6).double() * torch.linspace(1, 0.2, 6), normal(5, 6, seed=1).double(), moments(5, 3)
    for weight in (torch.eye(5).double(), g):
        values, vectors = torch.linalg.eigh(weight)
        root = vectors * values.sqrt() @ vectors.T
        _, directions = torch.linalg.eigh(root @ w @ (x.T @ x) @ w.T @ root)
        top = directions[:, -rank:]
        expected = torch.linalg.inv(root) @ top @ top.T @ root @ w
        code = LowRank(rank).project({"w": w}, {"w": Kronecker(weight, x.T @ x / 60)})["w"]
        assert torch.allclose(torch.from_numpy(code.decompress()), expected, atol=1e-9)


def test_directions_without_weight_cost_nothing_and_become_zero():
    a = torch.diag(torch.tensor([1.0, 0.0, 2.0])).double()
    w = torch.tensor([[1.0, 5.0, 3.0], [2.0, -7.0, 6.0]]).double()
    left, right, _ = whitened(w, Kronecker(torch.eye(2).double(), a), 1)
    assert torch.allclose(left @ right, torch.tensor([[1.0, 0.0, 3.0], [2.0, 0.0, 6.0]]).double(), atol=1e-12)


def test_what_a_number_of_a_factor_is_felt_by_is_what_an_error_in_it_alone_costs():
    left, right, metric = normal(4, 2), normal(2, 5), Kronecker(moments(4, 1), moments(5, 2))
    product = left @ right
    for costs, at in zip(felt(metric, left, right), (0, 1), strict=True):
        factor = (left, right)[at]
        assert costs.importance.shape == factor.shape
        for place in range(factor.numel()):
            error = torch.zeros(factor.numel(), dtype=torch.float64)
            error[place] = 1.0
            moved = [left.double(), right.double()]
            moved[at] = moved[at] + error.view(factor.shape)
            cost = metric.error(product.double(), moved[0] @ moved[1])
            assert float(costs.importance.view(-1)[place]) == pytest.approx(cost, rel=1e-4)


@pytest.mark.parametrize(
    "inner", [UniformGrid(bits=1.5), UniformGrid(bits=3.0, states=8, scales=True), AdaptiveCodebook(6)]
)
def test_factors_are_compressed_by_what_errors_cost_under_sigma_never_worse_than_by_their_own(inner):
    fading = torch.logspace(0, -1.5, 12)
    weights = {"a": normal(30, 12) * fading @ normal(12, 40, seed=5), "b": normal(20, 12) * fading @ normal(12, 25)}
    metrics = {"a": Kronecker(moments(30, 1), moments(40, 2)), "b": Kronecker(moments(20, 3), moments(25, 4))}
    row = LowRank(8, left=inner, right=inner)
    factors = {name: row._factors(name, weight, metrics, None) for name, weight in weights.items()}
    alone = distortion(row._coded(weights, factors, metrics, None), weights, metrics)
    found = distortion(row.project(weights, metrics), weights, metrics)
    assert found <= alone
    if isinstance(inner, UniformGrid):
        assert found < 0.95 * alone


def test_kronecker_factors_of_the_wrong_size_or_view_are_refused_by_name():
    metric = Kronecker(torch.eye(4), torch.eye(30))
    LowRank(1).project({"w": normal(4, 3, 2, 5)}, {"w": metric})
    with pytest.raises(WeightsError, match="w: Kronecker factors of 4 and 30"):
        LowRank(1).project({"w": normal(4, 3)}, {"w": metric})
    with pytest.raises(UnsupportedMetric, match="w: a Kronecker metric goes with"):
        LowRank(1, "out.kh|in.kw").project({"w": normal(4, 3, 2, 5)}, {"w": metric})


# --- diagonal metric -----------------------------------------------------------------------------------------------


@usually("rank, seed", [(1, 0), (3, 1)], else_=[(1, 1), (2, 0), (2, 1), (3, 0)])
@twin_of(LowRank)
def test_weighted_low_rank_is_near_the_best_of_many_descents(rank, seed):
    w, h = heavy(6, 7, seed=seed).double(), importance(normal(6, 7), seed=seed).importance.double()
    found = distortion(LowRank(rank).project({"w": w}, {"w": Diagonal(h)}), {"w": w}, {"w": Diagonal(h)})
    least = descended(lambda x: (h * (w - x).square()).sum(), (6, 7), rank, starts=3)
    total = float((h * w.square()).sum())
    assert found >= least - 1e-6 * total
    assert found <= least + 0.05 * total


@pytest.mark.parametrize("seed", range(4))
def test_the_weighted_error_never_rises_and_is_below_plain_truncation(seed):
    w, h = heavy(20, 15, seed=seed).double(), importance(normal(20, 15), seed=seed).importance.double()
    left, right = normal(20, 3, seed=9).double(), normal(3, 15, seed=8).double()
    errors = [weighted_error(w, h, left, right)]
    for _ in range(15):
        right = fitted(w, h, left, right)
        errors.append(weighted_error(w, h, left, right))
        left = fitted(w.T, h.T, right.T, left.T).T
        errors.append(weighted_error(w, h, left, right))
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(errors))
    metric = {"w": Diagonal(h)}
    found = distortion(LowRank(3).project({"w": w}, metric), {"w": w}, metric)
    assert found < distortion(LowRank(3).project({"w": w}), {"w": w}, metric)


def test_each_fit_is_the_least_squares_of_its_column():
    w, h, left = normal(9, 5).double(), torch.rand(9, 5, generator=generator(0)).double(), normal(9, 3, seed=1).double()
    right = fitted(w, h, left, torch.zeros(3, 5).double())
    for j in range(5):
        root = h[:, j].sqrt()
        expected = torch.linalg.lstsq(root[:, None] * left, root * w[:, j]).solution
        assert torch.allclose(right[:, j], expected, atol=1e-7)


@pytest.mark.parametrize("rank", [1, 2])
def test_separable_importances_have_the_optimum_of_scaled_rows_and_columns(rank):
    w, u, v = normal(8, 6).double(), normal(8, seed=1).exp().double(), normal(6, seed=2).exp().double()
    h = torch.outer(u, v)
    tail = torch.linalg.svdvals(u.sqrt()[:, None] * w * v.sqrt())[rank:].square().sum()
    assert weighted_error(w, h, *weighted(w, h, rank, 0.0)) == pytest.approx(float(tail), rel=1e-9)


def test_equal_importances_are_the_unit_metric_and_none_at_all_too():
    w = normal(8, 6).double()
    plain = distortion(LowRank(2).project({"w": w}), {"w": w})
    for h in (torch.full((8, 6), 3.0), torch.zeros(8, 6)):
        assert distortion(LowRank(2).project({"w": w}, {"w": Diagonal(h)}), {"w": w}) == pytest.approx(plain)


def test_warm_factors_are_where_the_fits_start():
    w, h = {"w": heavy(20, 15).double()}, {"w": importance(normal(20, 15))}
    better = min((LowRank(3).project({"w": w["w"] + normal(20, 15, seed=s)}, h) for s in range(5)),
                 key=lambda codes: distortion(codes, w, h))  # fmt: skip
    assert distortion(LowRank(3).project(w, h, better), w, h) <= distortion(better, w, h)


@pytest.mark.parametrize("metric", [importance(normal(20, 15)), Kronecker(moments(20, 1), moments(15, 2))])
def test_the_right_factor_makes_up_for_a_compressed_left_one_under_any_metric(metric):
    w = {"w": normal(20, 15).double()}
    code = LowRank(3, left=AdaptiveCodebook(3)).project(w, {"w": metric})["w"]
    right = torch.from_numpy(code.right.decompress()).requires_grad_()
    left = torch.from_numpy(code.left.decompress())
    d = w["w"] - left @ right
    error = (
        (metric.importance * d.square()).sum()
        if isinstance(metric, Diagonal)
        else torch.trace(metric.outputs @ d @ metric.inputs @ d.T)
    )
    error.backward()
    assert float(right.grad.abs().max()) < 1e-6 * float(error.detach())


# --- kernels as two convolutions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("row_first", [False, True])
def test_two_components_are_two_convolutions_one_after_the_other(row_first):
    kernel, images = normal(6, 4, 3, 5).double(), normal(2, 4, 9, 11, seed=1).double()
    compression = parse_compression({"two_components": 3, "row_first": row_first}, "row")
    code = compression.project({"w": kernel})["w"]
    left, right = (torch.from_numpy(factor.decompress()) for factor in (code.left, code.right))
    if row_first:
        row = right.reshape(3, 4, 1, 5)
        column = left.reshape(6, 3, 3).permute(0, 2, 1)[..., None]
        composed = F.conv2d(F.conv2d(images, row), column)
    else:
        column = right.reshape(3, 4, 3, 1)
        row = left.reshape(6, 5, 3).permute(0, 2, 1)[:, :, None, :]
        composed = F.conv2d(F.conv2d(images, column), row)
    assert torch.allclose(F.conv2d(images, torch.from_numpy(code.decompress())), composed, atol=1e-10)


@pytest.mark.parametrize("row_first", [False, True])
def test_a_kernel_of_two_components_is_its_own_projection(row_first):
    row, column = normal(2, 4, 1, 5).double(), normal(6, 2, 3, 1, seed=1).double()
    kernel = torch.einsum("rcx,orky->ockx", row[:, :, 0], column)
    if not row_first:
        kernel = kernel.transpose(2, 3)
    found = parse_compression({"two_components": 2, "row_first": row_first}, "row").project({"w": kernel})
    assert distortion(found, {"w": kernel}) < 1e-20
    other = parse_compression({"two_components": 2, "row_first": not row_first}, "row").project({"w": kernel})
    assert distortion(other, {"w": kernel}) > 1


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_a_rank_above_that_of_the_matrix_costs_nothing(noise):
    """Rounding errors are no singular values: R would be fitted to columns of L that few values leave nearly alike."""
    w = (normal(40, 10) @ normal(10, 60, seed=1) + noise * normal(40, 60, seed=2)).float()
    few = AdaptiveCodebook(16)
    exact, more = (LowRank(rank, left=few, right=few).project({"w": w})["w"] for rank in (10, 20))
    assert more.rank == exact.rank == 10
    assert (more.decompress() == exact.decompress()).all()
    assert LowRank(3).project({"w": torch.zeros(4, 5)})["w"].rank == 0
