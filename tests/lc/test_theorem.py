"""Theorem 1 of the LC papers on smooth convex problems with known answers: exact and inexact L steps.

    min L(w)   subject to   w = Z θ,     Z the groups of shared weights: linear, so that L convex has one KKT point

With the quadratic penalty Q(w, θ; μ) = L(w) + (μ/2) ‖w − Z θ‖², μ → ∞ and ‖∇Q‖ ≤ τ → 0, (w, θ) → (w*, θ*), and
−μ (w − Δ(θ)) → λ* = ∇L(w*).

Source: Carreira-Perpiñán, arXiv 1707.01209, Theorem 1; Robbins & Monro 1951 for the steps of SGD.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch

from laconic.csteps.fixed_assignments import FixedAssignments
from laconic.lc.state import LCState
from laconic.lc.steps import c_step, start
from laconic.plans.plan import Plan

GROUPS = np.array([0, 0, 0, 1, 1, 2, 2, 2])
SHARED = np.eye(3)[GROUPS]
MOST = 20_000  # L and C steps at one μ
MUS = 0.5 * 2.0 ** np.arange(10)  # up to 256


class Problem(NamedTuple):
    """A loss over samples, convex and smooth.

    Args:
        samples: shape (n, P).
        targets: shape (n,).
        slope: derivative of a sample's loss by its output.
        curvature: the second one.
    """

    samples: np.ndarray
    targets: np.ndarray
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray]
    curvature: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def gradient(self, w, rows=slice(None)):
        x, y = self.samples[rows], self.targets[rows]
        return x.T @ self.slope(x @ w, y) / len(x) + 0.1 * w

    def hessian(self, w):
        x = self.samples
        return (x.T * self.curvature(x @ w, self.targets)) @ x / len(x) + 0.1 * np.eye(x.shape[1])

    def least(self, basis, mu=0.0, towards=0.0):
        """The minimum over w = basis · θ of L(w) + (μ/2) ‖w − towards‖², by Newton's method."""
        theta = np.zeros(basis.shape[1])
        for _ in range(60):
            w = basis @ theta
            slope = basis.T @ (self.gradient(w) + mu * (w - towards))
            if np.abs(slope).max() < 1e-13 * (1 + mu):
                return w
            theta -= np.linalg.solve(basis.T @ (self.hessian(w) + mu * np.eye(len(w))) @ basis, slope)
        raise AssertionError("Newton's method has not come to an end")


def problem(kind):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((200, len(GROUPS)))
    y = x @ rng.standard_normal(len(GROUPS)) + 0.3 * rng.standard_normal(200)
    if kind == "least squares":
        return Problem(x, y, lambda z, y: z - y, lambda z, y: np.ones_like(z))
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    return Problem(x, (y > 0) * 1.0, lambda z, y: sigmoid(z) - y, lambda z, y: sigmoid(z) * sigmoid(-z))


def compressed(state: LCState) -> np.ndarray:
    return state.compressed["w"].numpy()


def stepped(state: LCState, w: np.ndarray, mu: float) -> LCState:
    return c_step(state, {"w": torch.from_numpy(w)}, mu, augmented=False)


def exact(one, state, mu, tau):
    """Both steps exact, in turn, until the gradient is as small as it must be: the path itself."""
    for _ in range(MOST):
        w = one.least(np.eye(len(GROUPS)), mu, compressed(state))
        state = stepped(state, w, mu)
        if np.linalg.norm(one.gradient(w) + mu * (w - compressed(state))) <= tau:
            return w, state
    raise AssertionError(f"the gradient is not below {tau} after {MOST} steps")


def descent(one, state, mu, tau):
    """L steps of a few steps of gradient descent."""
    w, rate = state.weights["w"].numpy().copy(), 1 / (np.linalg.eigvalsh(one.hessian(np.zeros(8))).max() + mu)
    for _ in range(MOST):
        for _ in range(5):
            w -= rate * (one.gradient(w) + mu * (w - compressed(state)))
        state = stepped(state, w, mu)
        if np.linalg.norm(one.gradient(w) + mu * (w - compressed(state))) <= tau:
            return w, state
    raise AssertionError(f"the gradient is not below {tau} after {MOST} steps")


def minimum_of_q(one, mu):
    """(w, Zθ) of Q at μ: with θ made the best for w, Q is L(w) and (μ/2) wᵀ (1 − Π) w."""
    away, w = np.eye(8) - SHARED @ np.linalg.pinv(SHARED), np.zeros(8)
    for _ in range(60):
        w -= np.linalg.solve(one.hessian(w) + mu * away, one.gradient(w) + mu * away @ w)
    return w, w - away @ w


@pytest.mark.parametrize("kind", ["least squares", "logistic"])
@pytest.mark.parametrize("l_step", [exact, descent])
def test_the_penalty_method_follows_its_path_to_the_kkt_point_and_multipliers(kind, l_step):
    one = problem(kind)
    answer = one.least(SHARED)
    multipliers = one.gradient(answer)
    assert np.allclose(SHARED.T @ multipliers, 0, atol=1e-12)  # what is known is a KKT point
    assert np.linalg.norm(multipliers) > 0.1
    reference = torch.from_numpy(one.least(np.eye(8)))
    state, away = start({"w": reference}, Plan({"w": FixedAssignments({"w": GROUPS})})), list[float]()
    for mu in MUS:
        tau = 0.01 / mu
        w, state = l_step(one, state, mu, tau)
        there, projected = minimum_of_q(one, mu)
        # Q is strongly convex in w: as far from its minimum as τ allows
        assert np.linalg.norm(w - there) <= tau / 0.1
        assert np.linalg.norm(compressed(state) - projected) <= tau / 0.1
        away.append(float(np.linalg.norm(-mu * (w - compressed(state)) - multipliers)))
    assert np.linalg.norm(w - answer) < 1.1 * np.linalg.norm(multipliers) / mu
    assert away[-1] < 1e-2 * np.linalg.norm(multipliers)
    assert all(later < 0.7 * before for before, later in itertools.pairwise(away[3:]))  # as 1/μ


def test_robbins_monro_steps_come_to_the_same_multipliers():
    one, rng = problem("least squares"), np.random.default_rng(0)
    multipliers = one.gradient(one.least(SHARED))
    state = start({"w": torch.from_numpy(one.least(np.eye(8)))}, Plan({"w": FixedAssignments({"w": GROUPS})}))
    w, away = state.weights["w"].numpy().copy(), list[float]()
    for mu in MUS[:6]:
        mean = np.zeros(8)
        for step in range(6000):
            rate = 1 / (20 + mu + 0.05 * step)  # its sum is infinite, that of its squares is not
            w -= rate * (one.gradient(w, rng.integers(0, 200, 10)) + mu * (w - compressed(state)))
            mean += (w - mean) * max(1 / (step + 1), 2e-3)
            if step % 20 == 19:
                state = stepped(state, w, mu)
        away.append(float(np.linalg.norm(-mu * (mean - compressed(stepped(state, mean, mu))) - multipliers)))
    assert away[-1] < 0.15 * np.linalg.norm(multipliers)
    assert away[-1] < 0.5 * away[0]
