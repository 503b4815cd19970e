"""Codistillation: networks that train at once, each on the labels and on what the others say.

    θ_i ← θ_i − η ∇_{θ_i} { φ(y, F(θ_i, x)) + weight · ψ(1/(N−1) Σ_{j≠i} F(θ'_j, x), F(θ_i, x)) }

for N networks with batches of their own, after ``burn_in`` steps with φ alone. θ'_j are the weights of the others as
they were exchanged last, every ``staleness`` steps, in evaluation mode. φ is the task's loss. ψ is KL or cross-entropy
between the mean of the others' probabilities and the own ones, which differ by what has no gradient; for values it is
the mean squared difference.

Mutual learning is the case of staleness 1 and the same batch for all: its term, the mean of KL(p_j ‖ p_i) over the
others, has the gradient of KL(mean of p_j ‖ p_i).

Source: Anil, Pereyra, Passos, Ormandi, Dahl & Hinton, "Large scale distributed neural network training through online
distillation" (ICLR 2018), algorithm 1; Zhang, Xiang, Hospedales & Lu, "Deep mutual learning" (CVPR 2018). Departure:
the networks of a round take their steps at once, where the algorithm's second one sees what the first has just become.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.arguments import is_weight
from laconic.errors import DataError, listed
from laconic.models.params import Params, params_of
from laconic.teachers.hidden import called
from laconic.training.batches import Batch, Batches
from laconic.training.judges import Kind, counting, described, divergence, ignored_by, require_classes, rows_of
from laconic.training.loop import derive_seed
from laconic.training.task import Task, mode

Psi = Literal["kl", "cross-entropy"]
"""What is taken between the mean of the others' probabilities and the own ones."""

_MODELS, _COPIES = "models", "copies"


@final
@dataclass(frozen=True, eq=False)
class Said:
    """What several networks say of their batches.

    Args:
        own: outputs of each.
        others: for each, what the others say of its batch; nothing before the end of burn-in, and in evaluation.
    """

    own: tuple[Any, ...]
    others: tuple[tuple[Any, ...], ...] = ()


def apart(
    others: Sequence[Any], own: Any, kind: Kind | None, psi: Psi = "kl", counts: Tensor | None = None
) -> Tensor:  # fmt: skip
    """Return ψ, how far a network is from the mean of what others say, as a mean over the samples, 0-d.

    Args:
        others: outputs of the other networks, without gradients.
        own: outputs of the same shape.
        kind: of the outputs.
        psi: which, for classification.
        counts: which positions of logits do (`laconic.training.judges.counting`); all unless told.

    Raises:
        DataError: for outputs of no kind, or that are no tensors of one shape, and for logits of a single class.
    """
    if not all(isinstance(one, Tensor) and isinstance(own, Tensor) and one.shape == own.shape for one in others):
        shapes = ", ".join(map(described, (own, *others)))
        raise DataError(f"networks that learn from each other give one tensor each, of one shape, not {shapes}")
    require_classes(own, kind)
    if kind == "regression":
        return F.mse_loss(own, torch.stack(list(others)).mean(0))
    if kind is None:
        raise DataError("networks learn from outputs of a kind: Task(..., kind='classification')")
    if counts is not None:
        if not bool(counts.any()):
            nothing: Tensor = 0 * own.sum()
            return nothing
        own, others = rows_of(own, counts), [rows_of(one, counts) for one in others]
    mean = torch.stack([one.log_softmax(1) for one in others]).logsumexp(0) - math.log(len(others))
    entropy = -(mean.exp() * mean).sum(1).mean() if psi == "cross-entropy" else 0.0
    return divergence(mean, own, kind) + entropy


def codistilled(
    tasks: Sequence[Task],
    *,
    staleness: int = 1,
    burn_in: int = 0,
    weight: float = 1.0,
    psi: Psi = "kl",
    same_batch: bool = False,
) -> Task:
    """Return the task of training several networks at once, each from the others.

    Its weights are those of all networks, and the copies that were exchanged last: `one_of` takes those of one. The
    loss, without ψ, is the sum over the networks, a measure the mean. In evaluation all are given the batches of the
    first task.

    Args:
        tasks: two or more of one kind: a module each, of any make, and the batches that it is trained on. An epoch has
            as many as the shortest.
        staleness: steps from one exchange to the next, 1 or more.
        burn_in: steps before ψ is added.
        weight: of ψ, 0 or more.
        psi: which ψ.
        same_batch: every network is given the first task's batch, as in mutual learning; without it each draws its own
            from its task, in an order of its own.

    Raises:
        DataError: for fewer than two tasks, tasks of different kinds or of none, one module twice or parts that several
            share, outputs of different shapes, or bad numbers.
    """
    _require(tasks, staleness, burn_in, weight, psi)
    kind = tasks[0].kind
    ignored = [ignored_by(task.loss) if kind == "classification" else None for task in tasks]
    _require_comparable(tasks, same_batch=same_batch)

    def forward(module: _Models, batch: Batch) -> Said:
        spoken = module.training and module.exchange(staleness) >= burn_in
        own = tuple(map(called, tasks, module.models, batch))
        if not spoken:
            return Said(own)
        with torch.no_grad():
            others = [
                tuple(called(tasks[j], module.copies[j], part) for j in range(len(tasks)) if j != i)
                for i, part in enumerate(batch)
            ]
        return Said(own, tuple(others))

    def loss(outputs: Said, batch: Batch) -> Tensor:
        terms = [task.loss(own, part) for task, own, part in zip(tasks, outputs.own, batch, strict=True)]
        return torch.stack(terms).sum()

    def objective(outputs: Said, batch: Batch) -> Tensor:
        terms = [task.minimised(own, part) for task, own, part in zip(tasks, outputs.own, batch, strict=True)]
        for i, others in enumerate(outputs.others):  # none before the end of burn-in
            own = outputs.own[i]
            terms.append(weight * apart(others, own, kind, psi, counting(batch[i], own, ignored[i])))
        return torch.stack(terms).sum()

    def mean(name: str, outputs: Said, batch: Batch) -> Tensor:
        judged = [task.measures[name](own, part) for task, own, part in zip(tasks, outputs.own, batch, strict=True)]
        return torch.stack(judged).mean()

    def measure(name: str) -> Any:
        return lambda outputs, batch: mean(name, outputs, batch)

    shared = [name for name in tasks[0].measures if all(name in task.measures for task in tasks)]
    return Task(
        _Models([task.module for task in tasks]),
        loss=loss,
        objective=objective,
        forward=forward,
        measures={name: measure(name) for name in shared},
        metadata=tasks[0].metadata,
        still=(_COPIES, *(f"{_MODELS}.{i}.{name}" for i, task in enumerate(tasks) for name in task.still)),
        **_splits(tasks, same_batch=same_batch),
    )


def one_of(params: Params, number: int) -> dict[str, Tensor]:
    """Return the weights of one of the networks, by the names that its own module has for them."""
    prefix = f"{_MODELS}.{number}."
    return {name.removeprefix(prefix): tensor for name, tensor in params.items() if name.startswith(prefix)}


@final
class _Models(nn.Module):
    """Several networks, and copies of them as they were when they were exchanged last, with the steps since."""

    step: Tensor

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.copies = nn.ModuleList(map(copy.deepcopy, models)).requires_grad_(requires_grad=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, every: int) -> int:
        """Copy all networks where a multiple of ``every`` steps lies behind; return how many do, and count one more.

        What is copied and counted are the tensors that the module has now: those of whoever calls it.
        """
        step = int(self.step)
        if step % every == 0:
            pairs = (*zip(self.copies.parameters(), self.models.parameters(), strict=True),
                     *zip(self.copies.buffers(), self.models.buffers(), strict=True))  # fmt: skip
            for old, new in pairs:
                old.copy_(new)
        self.step.add_(1)
        return step


def _splits(tasks: Sequence[Task], *, same_batch: bool) -> dict[str, Any]:
    """Return the batches of all networks: a tuple with one for each."""

    def several(seed: int) -> Iterator[tuple[Batch, ...]]:
        return zip(*(task.split("train").epoch(derive_seed(seed, i)) for i, task in enumerate(tasks)), strict=False)

    def same(split: str, seed: int) -> Iterator[tuple[Batch, ...]]:
        return ((batch,) * len(tasks) for batch in tasks[0].split(split).epoch(seed))

    known = [task.split("train").known for task in tasks]
    shortest = None if None in known else min((count for count in known if count is not None), default=None)
    splits: dict[str, Any] = {
        split: None if getattr(tasks[0], split) is None else Batches(partial(same, split), tasks[0].split(split).known)
        for split in ("train", "validation", "test")
    }
    return splits if same_batch else {**splits, "train": Batches(several, shortest)}


def _require_comparable(tasks: Sequence[Task], *, same_batch: bool) -> None:
    """Raise `DataError` unless, on the first batch of each, all networks say something of one shape."""
    for i, task in enumerate(tasks[:1] if same_batch else tasks):
        batch, said = next(task.batches("train", 0), None), list[Any]()
        if batch is None:
            raise DataError(f"train of network {i} has no batches")
        for j, other in enumerate(tasks):
            module = other.module
            counts = {name: buffer.clone() for name, buffer in module.named_buffers()}
            try:
                with torch.no_grad(), mode(module, training=False):
                    said.append(other.outputs({**params_of(module), **counts}, batch))
            except Exception as failure:
                raise DataError(
                    f"network {j} fails on a batch of network {i}, {described(batch)}: {failure}"
                ) from failure
        apart(said[1:], said[0], task.kind)


def _require(tasks: Sequence[Task], staleness: int, burn_in: int, weight: float, psi: str) -> None:
    """Raise `DataError` unless networks can learn from each other so."""
    if not isinstance(tasks, Sequence) or not all(isinstance(task, Task) for task in tasks):
        raise DataError(f"codistillation takes a list of tasks, each with a network of its own, not {tasks!r}")
    if len(tasks) < 2:
        raise DataError(f"codistillation takes two networks or more, not {len(tasks)}")
    if len({id(task.module) for task in tasks}) < len(tasks):
        raise DataError(
            "each network is a module of its own, but one module is there twice: make another, with its seed"
        )
    firsts: dict[int, int] = {}
    for i, task in enumerate(tasks):
        own = task.module.state_dict(keep_vars=True)
        if shared := [name for name, one in own.items() if firsts.setdefault(id(one), i) != i]:
            raise DataError(
                f"networks that learn from each other share no weights, but {listed(shared)} of network {i} is one of "
                "another's, too: copy.deepcopy makes a network of its own"
            )
    kinds = {task.kind for task in tasks}
    if len(kinds) > 1 or None in kinds:
        raise DataError(f"networks learn from each other's outputs of one kind, not of {sorted(map(str, kinds))}")
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (staleness, burn_in))
    if not whole or staleness < 1 or burn_in < 0 or not is_weight(weight):
        raise DataError(
            "staleness is 1 step or more, burn_in 0 or more, both integers, weight 0 or more and finite, not "
            f"{staleness!r}, {burn_in!r} and {weight!r}"
        )
    if psi not in (known := get_args(Psi)):
        raise DataError(f"psi is one of {', '.join(known)}, not {psi!r}")
