"""Kronecker factors: the importance matrix of a layer as moments of what it reads times moments of what it writes."""

from torch import Generator, Tensor, nn

from laconic.models.params import Params
from laconic.theory.importance.directions import Directions, kind_of, of_model
from laconic.theory.importance.gradients import squared_gradients
from laconic.theory.importance.layers import Call, run, written_gradients
from laconic.theory.importance.moments import Gathered, plain
from laconic.theory.importance.reading import Watch, leaves_of, once, read, wide
from laconic.theory.metric import Diagonal, Kronecker
from laconic.training.batches import size_of
from laconic.training.task import Task, mode

_ROWS = 64
"""Samples of one piece."""


def kronecker(
    task: Task,
    params: Params,
    generator: Generator | None = None,
    *,
    draws: int | None = None,
    kind: str | None = None,
    temperature: float = 1.0,
    samples: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Kronecker | Diagonal]:
    """Return the blocks of the importance matrix of `unsupervised`, each as a Kronecker product or by its diagonal.

        E_x[Σ_k (Σ_p g_kpᵀ D x_p)²] ≈ tr(G D A Dᵀ),   A = E_x[Σ_p x_p x_pᵀ],   G = E_x[Σ_kp g_kp g_kpᵀ] / P

    x_p being what a layer multiplies its weight with at position p of P, g_kp the gradient of `⟨b_k, f⟩` by what it
    writes there. Exact for one linear layer or convolution alone under least squares, where G = 1; otherwise it takes
    x and g as independent, and different positions as uncorrelated. Weights of linear layers and of convolutions in
    one group get a `Kronecker`; biases, norms, grouped convolutions and all else the exact or sampled `Diagonal` of the
    same matrix, so that the errors of all tensors are in one unit.

    >>> import torch
    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> kronecker(task, params_of(module))["weight"]
    Kronecker(outputs=tensor([[1.]]), inputs=tensor([[5., 1.], [1., 2.]]))

    Args:
        task: as `unsupervised`.
        params: as `unsupervised`.
        generator: as `unsupervised`.
        draws: as `unsupervised`.
        kind: as `unsupervised`.
        temperature: as `unsupervised`.
        samples: as `unsupervised`.
        watch: as `unsupervised`; of each of the two readings, factors and diagonals.

    Raises:
        PlanError: for a bad argument, or when the kind cannot be told.
        DataError: when there are no samples, or outputs have no row for each.

    Source: Martens & Grosse 2015; Grosse & Martens 2016 for convolutions, with sums over positions in A.
    """
    params = once(task, params)
    directions = of_model(kind_of(task, kind), temperature, draws, generator)
    metrics: dict[str, Kronecker | Diagonal] = {**_factors(task, params, directions, samples, watch)}
    rest = [name for name in leaves_of(task, params) if name not in metrics]
    if rest:
        squares = squared_gradients(task, params, directions, names=rest, samples=samples, watch=watch)
        metrics.update({name: Diagonal(squares[name]) for name in rest})
    return {name: metrics[name] for name in leaves_of(task, params)}


def _factors(
    task: Task, params: Params, directions: Directions, samples: int | None, watch: Watch | None
) -> dict[str, Kronecker]:
    """Return the metrics of the weights that have factors."""
    leaves = leaves_of(task, params)
    tracked = {name: t.detach().requires_grad_(name in leaves) for name, t in params.items()}
    gathered, written = Gathered(), dict[str, Tensor]()
    with mode(task.module, training=False):
        for batch in read(task, _ROWS, samples, watch):
            outputs, every = run(task, tracked, batch)
            named = [(call, name) for call, name in plain(every, leaves) if call.edge is not None]
            calls = [call for call, _ in named]
            gathered.add(named, size_of(batch))
            for direction in directions(outputs.detach(), batch).detach() if calls else ():
                (gradients,) = written_gradients(outputs, calls, direction.unsqueeze(0))
                for call, gradient in zip(calls, gradients, strict=True):
                    _add(written, call, gradient)
    factors = {}
    for name in gathered.moments:
        total = written[name] / (gathered.samples * gathered.positions(name))
        factors[name] = Kronecker((total + total.T) / 2, gathered.moment(name, params[name]))
    return factors


def _add(written: dict[str, Tensor], call: Call, gradient: Tensor | None) -> None:
    """Add Σ_np g gᵀ of one call to the sums, by the name of its weight."""
    assert call.weight is not None
    rows = call.layer.weight.shape[0]
    if gradient is None:
        gradient = (
            call.read.new_zeros(1, rows, 1) if isinstance(call.layer, nn.Conv2d) else call.read.new_zeros(1, rows)
        )
    flat = gradient.transpose(0, 1).flatten(1).T if isinstance(call.layer, nn.Conv2d) else gradient.reshape(-1, rows)
    product = wide(flat).T @ wide(flat)
    written[call.weight] = written[call.weight] + product if call.weight in written else product
