"""Toy tasks whose answers are known, exact L steps, and two compressions of a user's own.

Quadratic toys have one parameter "w" and the loss `½ (w − centre)ᵀ H (w − centre)`, in float64.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from laconic import Compression
from laconic.csteps.compression import Codes
from laconic.format.codes import Code, CodebookCode, DenseCode, Symbols, Values
from laconic.lc.state import LCState
from laconic.models.data import Dataset
from laconic.models.params import Params, dtype_name, params_of, to_numpy
from laconic.theory.metric import Metrics, diagonal_of
from laconic.training.loop import minimise
from laconic.training.optimization import MakeOptimizer, Optimization, nesterov
from laconic.training.task import Task, classification

DOUBLE = torch.float64
NOTHING = torch.zeros(1)

torch.set_num_threads(1)  # toys are too small to share out, and on a busy machine threads wait for each other


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=DOUBLE)


class Parameter(nn.Module):
    """A module that is its parameter: the loss is a function of the weights alone."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(start.clone())

    def forward(self, _: Tensor) -> Tensor:
        return self.w


def full_batch(*batch: Tensor) -> Callable[[str, int], list[tuple[Tensor, ...]]]:
    """The same single batch for every split and seed."""
    return lambda split, seed: [batch]


@dataclass(frozen=True, eq=False)
class Quadratic:
    """`L(w) = ½ (w − centre)ᵀ H (w − centre)` with its exact L step.

    Args:
        hessian: H, positive definite, over the flattened parameter.
        centre: w̄, the reference network, of the parameter's shape.
    """

    hessian: Tensor
    centre: Tensor

    def loss(self, w: Tensor) -> Tensor:
        apart = (w - self.centre).reshape(-1)
        return 0.5 * apart @ self.hessian @ apart

    def gradient(self, w: Tensor) -> Tensor:
        return (self.hessian @ (w - self.centre).reshape(-1)).view_as(w)

    @property
    def params(self) -> dict[str, Tensor]:
        return {"w": self.centre}

    @property
    def task(self) -> Task:
        return Task.of(Parameter(self.centre), full_batch(NOTHING, NOTHING), lambda outputs, _: self.loss(outputs))

    def __call__(self, state: LCState, mu: float) -> tuple[Params, float]:
        """Solve the L step: (H + μM) w = H w̄ + μM Δ + λ. At μ = 0: w = w̄."""
        if mu == 0:
            return self.params, 0.0
        m = state.importance.get("w", torch.ones_like(self.centre)).reshape(-1)
        pull = mu * m * state.compressed["w"].reshape(-1) + state.multipliers["w"].reshape(-1)
        right = self.hessian @ self.centre.reshape(-1) + pull
        w = torch.linalg.solve(self.hessian + mu * torch.diag(m), right).view_as(self.centre)
        return {"w": w}, float(self.loss(w))


def random_quadratic(size: int, seed: int, condition: float = 10.0, shape: tuple[int, ...] = (-1,)) -> Quadratic:
    """A quadratic with eigenvalues from 1 to ``condition`` in random directions and a normal centre."""
    basis, _ = torch.linalg.qr(normal(size, size, seed=seed))
    values = torch.logspace(0, float(np.log10(condition)), size, dtype=DOUBLE)
    return Quadratic(basis @ torch.diag(values) @ basis.T, normal(size, seed=seed + 1).view(shape))


def last(states: Iterator[LCState]) -> LCState:
    *_, state = states
    return state


def lbfgs(iterations: int = 60) -> Optimization:
    """L-BFGS with a line search, one epoch: an L step that is exact on smooth problems of a few weights."""

    def make(leaves: list[Tensor], lr: float) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            leaves,
            lr=1.0,
            max_iter=iterations,
            tolerance_grad=1e-13,
            tolerance_change=1e-16,
            history_size=50,
            line_search_fn="strong_wolfe",
        )

    return Optimization(epochs=1, lr=1.0, optimizer=make)


@dataclass(frozen=True)
class Fixed(Compression):
    """A user's own compression: each weight's group is given, its value is the mean of the group.

        min over c   Σ_i h_i (w_i − c_κ(i))²,   κ given

    Args:
        groups: κ, one for each weight of the only tensor.
    """

    groups: tuple[int, ...]

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        codes: dict[str, Code] = {}
        kappa = np.array(self.groups)
        for name, tensor in weights.items():
            h = diagonal_of(metrics or {}, name, tensor)
            flat, heavy = to_numpy(tensor).reshape(-1), np.ones(len(kappa)) if h is None else to_numpy(h).reshape(-1)
            means = np.bincount(kappa, heavy * flat) / np.bincount(kappa, heavy)
            symbols = Symbols(kappa, len(means))
            codes[name] = CodebookCode(tuple(tensor.shape), dtype_name(tensor), Values(means), symbols)
        return codes


@dataclass(frozen=True)
class Binary(Compression):
    """A user's own compression: each weight is −1 or +1, the nearer one."""

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        book = Values(np.array([-1.0, 1.0]))
        return {
            name: CodebookCode(
                tuple(tensor.shape), dtype_name(tensor), book, Symbols(to_numpy(tensor).reshape(-1) >= 0, 2)
            )
            for name, tensor in weights.items()
        }


@dataclass(frozen=True, eq=False)
class Point(Compression):
    """A feasible set of one point: Δ is fixed.

    Args:
        at: the point, by name.
    """

    at: dict[str, Tensor] = field(default_factory=dict)

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        return {name: DenseCode.of(to_numpy(self.at[name])) for name in weights}


def exactly(a: Tensor, b: Tensor) -> bool:
    """The same bits, NaN included."""
    return a.dtype == b.dtype and a.shape == b.shape and to_numpy(a).tobytes() == to_numpy(b).tobytes()


def same_params(a: Params, b: Params) -> bool:
    return list(a) == list(b) and all(exactly(a[name], b[name]) for name in a)


def contents(code: Code) -> tuple[object, ...]:
    """Everything that a code stores, codes within it too."""
    parts = (
        contents(p) if isinstance(p, Code) else (p.array.dtype.name, p.array.tobytes()) for p in code.streams().values()
    )
    return type(code), code.shape, code.dtype, code.facts(), *parts


def same_state(a: LCState, b: LCState) -> bool:
    """The same state bit for bit; NaN is like NaN."""
    groups = ("weights", "compressed", "multipliers", "importance")
    same = all(same_params(getattr(a, group), getattr(b, group)) for group in groups)
    codes = {name: contents(code) for name, code in a.codes.items()} == {n: contents(c) for n, c in b.codes.items()}
    return same and codes and repr(a.progress) == repr(b.progress)


@cache
def digits(samples: int = 300) -> tuple[Tensor, Tensor]:
    """Pixels from 0 to 1, shape (samples, 64), and labels of scikit-learn's digits."""
    bunch = load_digits()
    pixels = torch.from_numpy(bunch.data[:samples]).float() / 16
    return pixels, torch.from_numpy(bunch.target[:samples]).long()


def seeded_module(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def mlp() -> nn.Sequential:
    """Three inputs, four hidden units, two outputs, in double precision."""
    return seeded_module(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))).double()


def classifier(*, samples: int = 300, batch: int = 50, hidden: int = 12, dropout: float = 0.0) -> Task:
    """A network of two layers with BatchNorm between them, on digits."""

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, hidden), nn.BatchNorm1d(hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, 10)
        )

    pixels, labels = digits(samples)
    return classification(seeded_module(make), Dataset("digits", {"train": (pixels, labels)}, classes=10), batch=batch)


def trained(task: Task, epochs: int = 15, lr: float = 0.1, optimizer: MakeOptimizer = nesterov) -> dict[str, Tensor]:
    params, _ = minimise(task, params_of(task.module), Optimization(epochs, lr, optimizer=optimizer), seed=0)
    return params


def training_loss(task: Task, params: Params) -> float:
    return task.evaluate(params, "train")["loss"]
