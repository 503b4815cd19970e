"""The importance of weights to the loss: by its gradient, its Hessian, or both."""

from torch import Generator, Tensor

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.theory.importance.curvature import exact_diagonal, hutchinson
from laconic.theory.importance.directions import of_curvature, of_loss
from laconic.theory.importance.gradients import squared_gradients
from laconic.theory.importance.reading import Watch
from laconic.theory.metric import Diagonal, Quartic
from laconic.training.task import Task

_TRIES = 32
"""Random vectors of Hutchinson's estimate where nobody says how many."""


def gradient(
    task: Task,
    params: Params,
    generator: Generator | None = None,
    *,
    samples: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Diagonal]:
    """Return the mean square of the loss's gradient, `I_i = E[(∇_i L)²]`, L being the loss of one sample.

    `(w − ŵ)ᵀ E[∇L ∇Lᵀ] (w − ŵ)` is the mean squared change of the loss to first order. A backward pass and one
    product a layer.

    >>> import torch
    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> gradient(task, {"weight": torch.tensor([[1.0, 0.0]])})["weight"].importance  # (2 x (x w))²
    tensor([[164.,   8.]])

    Args:
        task: its loss must be the mean over the samples of a batch.
        params: weights of the network.
        generator: not used: nothing is drawn.
        samples: as `unsupervised`.
        watch: as `unsupervised`.

    Raises:
        PlanError: when ``samples`` is not positive.
        DataError: when there are no samples, or outputs have no row for each.

    Source: Gao, Liu, Wang & Oh 2019, Table 1, "gradient".
    """
    squares = squared_gradients(task, params, of_loss(task), samples=samples, watch=watch)
    return {name: Diagonal(importance) for name, importance in squares.items()}


def hessian(
    task: Task,
    params: Params,
    generator: Generator | None = None,
    *,
    method: str = "ggn",
    draws: int | None = None,
    added: float = 0.0,
    samples: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Diagonal]:
    """Return the diagonal of the loss's Hessian, `I_i = max(E[∇²_ii L] + μ, 0)`.

    "ggn" takes the Gauss-Newton matrix, `E[Jᵀ (∇²_z L) J]`. What it leaves out of the diagonal,
    `Σ_o ∂L/∂z_o ∂²z_o/∂w_i²`, is zero almost everywhere when the outputs are piecewise linear in each single weight:
    for networks of ReLU and max-pooling whose weights each serve in one layer, it is the exact diagonal. It is never
    negative. With cross-entropy it is `unsupervised` at T = 1, with least squares twice that of regression.
    "exact" differentiates twice for every weight; small networks alone. "hutchinson" is `hutchinson`, whose errors are
    best looked at there.

    >>> import torch
    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> hessian(task, params_of(module), added=0.5)["weight"].importance
    tensor([[10.5000,  4.5000]])

    Args:
        task: its loss must be the mean over the samples of a batch.
        params: weights of the network.
        generator: draws; needed with ``draws`` and for "hutchinson".
        method: see above.
        draws: "ggn": for each sample, the exact sum unless told; "hutchinson": random vectors for each batch, 32
            unless told.
        added: μ, which lifts negative entries and keeps weights of no curvature from being free; the paper's best on
            CIFAR-10 lie in (0, 0.25].
        samples: as `unsupervised`.
        watch: as `unsupervised`.

    Raises:
        PlanError: for a bad argument, or more weights than "exact" takes.
        DataError: when there are no samples, or outputs have no row for each.

    Source: LeCun, Denker & Solla 1990; Gao, Liu, Wang & Oh 2019, Table 1, "Hessian", who estimate it by curvature
    propagation.
    """
    if not added >= 0:
        raise PlanError(f"added must not be negative, not {added}")
    diagonals: dict[str, Tensor]
    if method == "ggn":
        diagonals = squared_gradients(task, params, of_curvature(task, draws, generator), samples=samples, watch=watch)
    elif method == "hutchinson":
        if generator is None:
            raise PlanError("method='hutchinson' draws random vectors: give it a generator")
        vectors = _TRIES if draws is None else draws
        diagonals = hutchinson(task, params, generator, draws=vectors, samples=samples, watch=watch).diagonal
    elif method == "exact":
        _no_draws(draws)
        diagonals = exact_diagonal(task, params, samples=samples, watch=watch)
    else:
        raise PlanError(f"method must be 'ggn', 'exact' or 'hutchinson', not {method!r}")
    return {name: Diagonal((diagonal + added).clamp(min=0)) for name, diagonal in diagonals.items()}


def gradient_and_hessian(
    task: Task,
    params: Params,
    generator: Generator | None = None,
    *,
    method: str = "ggn",
    samples: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Quartic]:
    """Return the quartic metric with `g = E[(∇_i L)²]` and `h = ¼ E[(∇²_ii L)²]`, the square inside the mean.

    Each sample's Hessian diagonal is squared, so that it must be exact: a random estimate's square is too large by its
    variance. "ggn" is exact where `hessian` says so; the network's samples are read once for g and once for h.

    >>> import torch
    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> gradient_and_hessian(task, params_of(module))["weight"].quartic.round()  # ¼ (2 x²)²
    tensor([[41.,  8.]])

    Args:
        task: its loss must be the mean over the samples of a batch.
        params: weights of the network.
        generator: not used: nothing is drawn.
        method: "ggn" or "exact", of `hessian`.
        samples: as `unsupervised`.
        watch: as `unsupervised`; of each of the two readings.

    Raises:
        PlanError: for a bad argument, or more weights than "exact" takes.
        DataError: when there are no samples, or outputs have no row for each.

    Source: Gao, Liu, Wang & Oh 2019, Table 1, last row.
    """
    if method not in ("ggn", "exact"):
        raise PlanError(f"method must be 'ggn' or 'exact', not {method!r}: the square of a random estimate is biased")
    g = squared_gradients(task, params, of_loss(task), samples=samples, watch=watch)
    if method == "ggn":
        h = squared_gradients(task, params, of_curvature(task), order=2, samples=samples, watch=watch)
    else:
        h = exact_diagonal(task, params, order=2, samples=samples, watch=watch)
    return {name: Quartic(g[name], h[name] / 4) for name in g}


def _no_draws(draws: int | None) -> None:
    """Raise `PlanError` where draws are given to a method that draws nothing."""
    if draws is not None:
        raise PlanError(f"method='exact' draws nothing: leave out draws={draws}")
