"""Tucker-2 and CP against their definitions, known ranks, descent that never rises, and layers that compose."""

import itertools

import numpy as np
import pytest
import torch
from cases import heavy, normal, twin_of
from torch.nn import functional as F
from toys import Quadratic, lbfgs

from laconic import AdaptiveCodebook, Canonical, Joint, LowRank, Tucker
from laconic.csteps.canonical import _start, error_of, refitted
from laconic.csteps.tucker import iterated
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, UnsupportedMetric, WeightsError
from laconic.lc.finetune import finetune
from laconic.plans.toml import parse_compression
from laconic.theory.metric import Diagonal


def energy_of_bases(cube, left, right):
    return float(torch.einsum("oik,oa,ib->abk", cube, left, right).square().sum())


# --- Tucker-2 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 5), (1, 7), (5, 1), (4, 4)])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_tucker_of_a_matrix_is_its_truncated_svd(shape, rank):
    weights = {"w": normal(*shape).double()}
    expected = distortion(LowRank(rank).project(weights), weights)
    assert distortion(Tucker(rank, rank).project(weights), weights) == pytest.approx(expected, abs=1e-12)


def test_a_kernel_of_few_channels_is_found():
    kernel = torch.einsum("oa,abxy,bi->oixy", *(normal(*s).double() for s in ((8, 3), (3, 2, 3, 3), (2, 6))))
    assert distortion(Tucker(3, 2).project({"w": kernel}), {"w": kernel}) < 1e-20
    assert distortion(Tucker(2, 2).project({"w": kernel}), {"w": kernel}) > 1e-3
    assert distortion(Tucker(99, 99).project({"w": heavy(5, 4, 3)}), {"w": heavy(5, 4, 3)}) < 1e-8


@pytest.mark.parametrize("seed", range(4))
@twin_of(Tucker, importances=False)
def test_tucker_is_near_the_best_of_many_random_starts_and_better_than_its_start(seed):
    """Twin: the same alternation written with full decompositions, from ten random bases."""
    tensor = heavy(7, 6, 4, seed=seed).double()
    total = float(tensor.square().sum())
    best = 0.0
    for start in range(10):
        right = torch.linalg.qr(normal(6, 2, seed=start).double())[0]
        energies = []
        for _ in range(40):
            left = torch.linalg.svd(torch.einsum("oik,ib->obk", tensor, right).reshape(7, -1))[0][:, :3]
            right = torch.linalg.svd(torch.einsum("oik,oa->iak", tensor, left).reshape(6, -1))[0][:, :2]
            energies.append(energy_of_bases(tensor, left, right))
        assert all(b >= a * (1 - 1e-12) for a, b in itertools.pairwise(energies))
        best = max(best, energies[-1])
    found = distortion(Tucker(3, 2).project({"w": tensor}), {"w": tensor})
    hosvd = energy_of_bases(
        tensor,
        torch.linalg.svd(tensor.reshape(7, -1))[0][:, :3],
        torch.linalg.svd(tensor.transpose(0, 1).reshape(6, -1))[0][:, :2],
    )
    assert total - best - 1e-9 <= found <= total - hosvd + 1e-9
    assert found <= (total - best) * 1.05


def test_tucker_is_three_convolutions():
    kernel, images = normal(6, 5, 3, 3).double(), normal(2, 5, 8, 8, seed=1).double()
    code = Tucker(3, 2).project({"w": kernel})["w"]
    left, core, right = (torch.from_numpy(p.decompress()) for p in (code.left, code.core, code.right))
    thin = F.conv2d(F.conv2d(images, right[:, :, None, None]), core)
    assert torch.allclose(
        F.conv2d(thin, left[:, :, None, None]), F.conv2d(images, torch.from_numpy(code.decompress())), atol=1e-10
    )


def test_bases_are_orthonormal_with_definite_signs():
    left, _, right = iterated(normal(6, 5, 3), 3, 2)
    assert torch.allclose(left.T @ left, torch.eye(3).double(), atol=1e-12)
    assert torch.allclose(right @ right.T, torch.eye(2).double(), atol=1e-12)
    assert (left.gather(0, left.abs().argmax(0, keepdim=True)) > 0).all()


# --- CP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terms", [1, 2, 4])
@twin_of(Canonical, importances=False)
def test_cp_of_a_matrix_is_its_truncated_svd(terms):
    weights = {"w": normal(6, 9).double()}
    expected = distortion(LowRank(terms).project(weights), weights)
    assert distortion(Canonical(terms).project(weights), weights) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_a_tensor_of_few_terms_is_found(terms):
    tensor = torch.einsum("ir,jr,kr->ijk", *(normal(n, terms, seed=n).double() for n in (6, 5, 4)))
    weights = {"w": tensor}
    assert distortion(Canonical(terms).project(weights), weights) < 1e-4 * float(tensor.square().sum())


@pytest.mark.parametrize("seed", range(3))
def test_each_fit_is_least_squares_and_the_error_never_rises(seed):
    whole = heavy(5, 4, 3, 2, seed=seed).double()
    factors = _start(whole, 6)
    errors = [error_of(whole, factors)]
    for axis in list(range(4)) * 6:
        others = [factor for k, factor in enumerate(factors) if k != axis]
        rows = torch.einsum("ir,jr,kr->ijkr", *others).reshape(-1, 6)
        right = whole.movedim(axis, 0).reshape(whole.shape[axis], -1).T
        exact = torch.linalg.lstsq(rows, right, driver="gelsd").solution
        factors = refitted(whole, factors, axis)
        errors.append(error_of(whole, factors))
        least = float((rows @ exact - right).square().sum())
        assert errors[-1] == pytest.approx(least, rel=1e-6)
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(errors))


def test_cp_decompresses_to_its_definition_and_balances_its_factors():
    tensor = heavy(5, 4, 3).double()
    code = Canonical(4).project({"w": tensor})["w"]
    a, b, c = np.split(code.factors.decompress(), [5, 9])
    assert code.decompress() == pytest.approx(np.einsum("ir,jr,kr->ijk", a, b, c), rel=1e-12)
    norms = [np.linalg.norm(matrix, axis=0) for matrix in (a, b, c)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-9)
    assert norms[0] == pytest.approx(norms[2], rel=1e-9)
    assert Canonical(10**6).project({"w": tensor})["w"].factors.shape == (12, 12)


def test_warm_factors_are_where_cp_starts():
    weights = {"w": heavy(6, 5, 4, seed=3).double()}
    cold = Canonical(3).project(weights)
    warm = Canonical(3).project({"w": weights["w"] + 0.01 * normal(6, 5, 4)}, None, cold)
    again = Canonical(3).project(weights, None, warm)
    assert distortion(again, weights) <= min(distortion(warm, weights), distortion(cold, weights) * 1.01)


# --- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [Tucker(2, 3), Canonical(3)])
def test_factors_are_trained_with_the_loss(compression):
    """Fine-tuning of factors on ½‖W − W̄‖² descends from the projection of another tensor towards that of W̄."""
    centre = normal(5, 4, 3).double()
    problem = Quadratic(torch.eye(60).double(), centre)
    codes = compression.project({"w": centre + 0.3 * normal(5, 4, 3, seed=2)})
    tuned = finetune(problem.task, codes, lbfgs(300))
    assert type(tuned["w"]) is type(codes["w"])
    before, after = distortion(codes, {"w": centre}), distortion(tuned, {"w": centre})
    assert after < before
    assert after == pytest.approx(distortion(compression.project({"w": centre}), {"w": centre}), rel=0.05)


@pytest.mark.parametrize("kind", [Tucker, Canonical])
def test_bad_parameters_shapes_and_metrics_are_refused(kind):
    good = Tucker(1, 1) if kind is Tucker else Canonical(1)
    with pytest.raises(PlanError, match="0 or more"):
        Tucker(1, -1) if kind is Tucker else Canonical(-1)
    with pytest.raises(WeightsError, match="w: view"):
        good.project({"w": torch.ones(4)})
    with pytest.raises(UnsupportedMetric, match=r"w: .*Diagonal"):
        good.project({"w": torch.ones(2, 2)}, {"w": Diagonal(torch.ones(2, 2))})


def test_plans_name_them():
    book = {"codebook": 4}
    assert parse_compression({"tucker": 8}, "row") == Tucker(8, 8)
    assert parse_compression({"tucker": 8, "inputs": 3, "factors": book}, "row") == Tucker(8, 3, AdaptiveCodebook(4))
    assert parse_compression({"cp": 5, "factors": book}, "row") == Canonical(5, AdaptiveCodebook(4))
    codes = Tucker(2, 2, Joint(AdaptiveCodebook(4))).project({"w": normal(5, 4, 3)})
    assert codes["w"].left.codebook is codes["w"].core.codebook
