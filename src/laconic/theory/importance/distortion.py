"""The importance of weights to what the network says, whatever is true: no targets are read."""

from torch import Generator

from laconic.models.params import Params
from laconic.theory.importance.directions import kind_of, of_model
from laconic.theory.importance.gradients import squared_gradients
from laconic.theory.importance.reading import Watch
from laconic.theory.metric import Diagonal
from laconic.training.task import Task


def unsupervised(
    task: Task,
    params: Params,
    generator: Generator | None = None,
    *,
    draws: int | None = None,
    kind: str | None = None,
    temperature: float = 1.0,
    samples: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Diagonal]:
    """Return the diagonal of the matrix that distortion of the outputs is a quadratic form of.

        classification   I_i = E_x[Σ_c (∂f_c/∂w_i)² / f_c],  f = softmax(z/T)
        regression       I_i = E_x[Σ_o (∂f_o/∂w_i)²]

    The first equals `E_x[Σ_c f_c (∂ log f_c/∂w_i)²]`, the diagonal of the Fisher information, and is computed so:
    no small f_c divides. Exact: a backward pass for each class or output. Sampled: one for each draw, of labels that
    the model draws or of random signs over the outputs; unbiased, with a variance that falls as 1/(draws · samples).

    >>> import torch
    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> unsupervised(task, params_of(module))["weight"].importance
    tensor([[5., 2.]])

    Args:
        task: module, training samples, and by its loss the kind.
        params: weights of the network.
        generator: draws; needed with ``draws`` alone.
        draws: for each sample; the exact sum unless told.
        kind: "classification" or "regression", where the task's loss is neither of laconic's.
        temperature: T; above 1 it softens a network that is too sure of itself.
        samples: how many training samples, from the order of seed 0; all unless told.
        watch: told (samples done, samples in all).

    Raises:
        PlanError: for a bad argument, or when the kind cannot be told.
        DataError: when there are no samples, or outputs have no row for each.

    Source: Gao, Liu, Wang & Oh 2019, section 3 (golden rules) and Table 1, "proposed"; sampled labels after
    Martens 2014.
    """
    directions = of_model(kind_of(task, kind), temperature, draws, generator)
    squares = squared_gradients(task, params, directions, samples=samples, watch=watch)
    return {name: Diagonal(importance) for name, importance in squares.items()}
