"""The fast low-rank solver: its bound is never violated, and where it says too little the exact one takes over."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from cases import generator, normal
from crossing import crossed

from laconic import LowRank
from laconic.csteps import krylov as solver
from laconic.csteps.factors import truncated
from laconic.csteps.krylov import krylov, worthwhile
from laconic.csteps.warm import distortion


def spectrum(values, rows=700, seed=0):
    """A matrix of given singular values in random directions."""
    count = len(values)
    u = torch.linalg.qr(normal(rows, count, seed=seed).double())[0]
    v = torch.linalg.qr(normal(count, count, seed=seed + 1).double())[0]
    return (u * torch.as_tensor(values, dtype=torch.float64)) @ v.T


INDEX = np.arange(1, 601)
SPECTRA = {
    "normal": lambda: normal(700, 600).double(),
    "square normal": lambda: normal(620, 620, seed=3).double(),
    "inverse": lambda: spectrum(1 / INDEX),
    "root": lambda: spectrum(INDEX**-0.5),
    "geometric": lambda: spectrum(0.9**INDEX),
    "equal": lambda: spectrum(np.ones(600)),
    "step behind the rank": lambda: spectrum(np.where(INDEX <= 9, 1.0, 0.5)),
    "step at the rank": lambda: spectrum(np.where(INDEX <= 8, 1.0, 0.5)),
    "spike": lambda: spectrum(np.where(INDEX <= 1, 100.0, 1.0)),
    "exact rank": lambda: spectrum(np.where(INDEX <= 5, 1.0, 0.0)),
    "linear": lambda: spectrum(601.0 - INDEX),
}


@cache
def matrix_of(name):
    return SPECTRA[name]()


@cache
def tail(name, rank):
    """The least squared error of that rank."""
    return float(singular_values(name)[rank:].square().sum())


@cache
def singular_values(name):
    return torch.linalg.svdvals(matrix_of(name))


@crossed("name, rank", SPECTRA, [1, 8])
def test_the_bound_on_the_excess_error_is_never_violated(name, rank):
    matrix = matrix_of(name)
    left, right, bound = krylov(matrix, rank)
    error = float((matrix - left @ right.T).square().sum())
    least = tail(name, rank)
    slack = 1e-12 * float(matrix.square().sum())
    assert (name == "exact rank") == (bound == math.inf)
    assert bound == math.inf or torch.allclose(right.T @ right, torch.eye(rank).double(), atol=1e-10)
    assert bound == math.inf or -slack <= error - least <= bound + slack


def test_what_the_iteration_cannot_have_seen_the_probes_find(monkeypatch):
    """A starting block that is orthogonal to the largest direction never meets it: the bound must allow for it."""
    values = np.where(INDEX <= 1, 3.0, 1.0 / INDEX)
    matrix = spectrum(values)
    top = torch.linalg.svd(matrix, full_matrices=False)[2][:1].T
    draw = torch.randn

    def blind(*shape, **options):
        block = draw(*shape, **options)
        return block - top @ (top.T @ block) if shape[1] != solver.PROBES else block

    monkeypatch.setattr(solver.torch, "randn", blind)
    monkeypatch.setattr(solver, "BLOCKS", 1)  # in more, roundings let it in
    left, right, bound = krylov(matrix, 4)
    excess = float((matrix - left @ right.T).square().sum()) - float((values[4:] ** 2).sum())
    assert excess > 8
    assert bound >= excess


@pytest.mark.parametrize("name", ["normal", "inverse", "root", "linear"])
@pytest.mark.parametrize("tolerance", [0.003, 0.05])
def test_low_rank_is_within_the_tolerance_of_the_least_error(name, tolerance):
    weights = {"w": matrix_of(name).float()}
    for rank in (3, 8):
        least = tail(name, rank)
        code = LowRank(rank, tolerance=tolerance).project(weights)
        assert distortion(code, weights) <= least * (1 + tolerance) + 1e-10


def test_what_is_uncertain_is_done_in_full(monkeypatch):
    matrix = matrix_of("normal").float()
    exact = truncated(matrix, 4)
    asked = []

    def loose(matrix, rank):
        asked.append(rank)
        return (*krylov(matrix, rank)[:2], math.inf)

    monkeypatch.setattr("laconic.csteps.factors.krylov", loose)
    for found, expected in zip(truncated(matrix, 4, 0.003), exact, strict=True):
        assert torch.equal(found, expected)
    assert asked == [4]
    truncated(matrix, 40, 0.003)
    truncated(matrix, 4, 0.0)
    assert asked == [4]


def test_it_is_the_same_every_time_and_for_any_scale_and_shape():
    matrix = matrix_of("inverse").float()
    first = truncated(matrix, 5, 0.01)
    for found, expected in zip(truncated(matrix.clone(), 5, 0.01), first, strict=True):
        assert torch.equal(found, expected)
    product = first[0] @ first[1]
    for scale in (2.0**-90, 2.0**60):
        left, right = truncated(matrix * scale, 5, 0.01)
        assert torch.allclose(left @ right / scale, product, rtol=1e-12, atol=0)
    left, right = truncated(matrix.T, 5, 0.01)
    assert torch.allclose(left @ right, product.T, atol=1e-6)
    left, right = truncated(torch.zeros(700, 600), 5, 0.01)
    assert not (left @ right).any()


def test_the_quantile_is_chernoffs():
    rho = solver._quantile()
    assert 0 < rho < 1
    assert (math.e ** (1 - rho) * rho) ** (solver.PROBES / 2) == pytest.approx(1e-9, rel=1e-6)
    draws = torch.randn(4000, solver.PROBES, generator=generator(0)).square().mean(1)
    assert float(draws.min()) > rho


def test_the_slope_is_that_of_a_line_above_the_ramp():
    for above in (0.005, 0.1, 0.5):
        x = np.linspace(1e-6, 20, 400_001)
        chebyshev = np.cosh(solver.DEGREE * np.arccosh(1 + 2 * (above + x)))
        slope = solver._slope(above)
        assert (slope * chebyshev**2 >= x).all()
        assert slope <= 1.03 * (x / chebyshev**2).max()


def test_it_is_worthwhile_for_large_matrices_of_low_rank_alone():
    assert worthwhile(3162, 3162, 64)
    assert not worthwhile(3162, 3162, 0)
    assert not worthwhile(1000, 1000, 50)
    assert not worthwhile(10_000, 300, 10)
