"""Small networks of every awkward kind, and importances by a loop over samples and the formula as printed."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from toys import DOUBLE, generator, seeded_module

from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.training.batches import Batch
from laconic.training.task import Task, classification, mode, regression


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


class Tied(nn.Module):
    """Two layers of one weight; a third that reads a weight by the back door as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.second(torch.tanh(self.first(inputs))))
        return self.last(hidden) + self.last.weight.sum()


class Twice(nn.Module):
    """A layer that is called twice, beside one that is called once and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.once, self.idle = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.once(torch.tanh(self.again(torch.tanh(self.again(inputs)))))


class Doubled(nn.Linear):
    """A linear layer that is more than it says."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * inputs.sum(-1, keepdim=True)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))


def normalized() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3))


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 3, groups=2, padding="same"),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 3, 2, padding=1, padding_mode="circular", dilation=2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(3),
    )


def positions() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), Apply(lambda hidden: hidden.mean((1, 2))))


def folded() -> nn.Module:
    """Positions among the samples, then before them."""
    return nn.Sequential(
        Apply(lambda inputs: inputs.reshape(-1, 4)),
        nn.Linear(4, 3),
        Apply(lambda hidden: torch.tanh(hidden).view(-1, 2, 2, 3).flatten(1, 2).transpose(0, 1)),
        nn.Linear(3, 3),
        Apply(lambda hidden: hidden.mean(0)),
    )


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (4,)),
    "normalized": (normalized, (4,)),
    "convolutions": (convolutions, (2, 6, 5)),
    "positions": (positions, (2, 2, 4)),
    "folded": (folded, (2, 2, 4)),
    "tied": (Tied, (4,)),
    "twice": (Twice, (4,)),
    "doubled": (lambda: nn.Sequential(Doubled(4, 4), nn.ReLU(), nn.Linear(4, 3)), (4,)),
}


def built(name: str, seed: int = 0) -> tuple[nn.Module, tuple[int, ...]]:
    """The network in float64 and in training mode, its running statistics unlike those of a fresh one."""
    make, shape = NETS[name]

    def ready() -> nn.Module:
        module = make()
        module.double()
        module(torch.randn(7, *shape, dtype=DOUBLE))
        return module.train()

    return seeded_module(ready, seed), shape


def classifier_of(name: str, samples: int = 7, batch: int = 3) -> Task:
    """Three classes, batches of three samples and one of one."""
    module, shape = built(name)
    inputs = torch.randn(samples, *shape, generator=generator(1), dtype=DOUBLE)
    labels = torch.randint(0, 3, (samples,), generator=generator(2))
    return classification(module, Dataset("noise", {"train": (inputs, labels)}, classes=3), batch=batch)


def regression_of(name: str, samples: int = 7, batch: int = 3) -> Task:
    module, shape = built(name)
    inputs = torch.randn(samples, *shape, generator=generator(1), dtype=DOUBLE)
    targets = torch.randn(samples, 3, generator=generator(2), dtype=DOUBLE)
    return regression(module, Dataset("noise", {"train": (inputs, targets)}), batch=batch)


def one_by_one(task: Task) -> Iterator[Batch]:
    for inputs, targets in task.batches("train", 0):
        for n in range(len(inputs)):
            yield inputs[n : n + 1], targets[n : n + 1]


def leaves(task: Task) -> dict[str, Tensor]:
    own = dict(task.module.named_parameters())
    return {name: tensor.clone().requires_grad_(name in own) for name, tensor in params_of(task.module).items()}


def looped(task: Task, terms: Callable[[Tensor, Batch], Iterator[tuple[Tensor, float]]]) -> dict[str, Tensor]:
    """`E_x[Σ_k c_k (∂y_k/∂w)²]`, y_k and c_k given by ``terms`` of the outputs of one sample."""
    params = leaves(task)
    names = [name for name, tensor in params.items() if tensor.requires_grad]
    totals = {name: torch.zeros_like(params[name]) for name in names}
    count = 0
    with mode(task.module, training=False):
        for batch in one_by_one(task):
            count += 1
            for value, factor in terms(task.outputs(params, batch), batch):
                found = torch.autograd.grad(
                    value, [params[n] for n in names], retain_graph=True, allow_unused=True, materialize_grads=True
                )
                for name, slope in zip(names, found, strict=True):
                    totals[name] += factor * slope.square()
    return {name: total.detach() / count for name, total in totals.items()}


def by_class(temperature: float) -> Callable[[Tensor, Batch], Iterator[tuple[Tensor, float]]]:
    """Σ_c (∂f_c/∂w)² / f_c, as the paper prints it."""

    def terms(outputs: Tensor, batch: Batch) -> Iterator[tuple[Tensor, float]]:
        for f in torch.softmax(outputs[0] / temperature, 0):
            yield f, 1 / float(f.detach())

    return terms


def by_output(outputs: Tensor, batch: Batch) -> Iterator[tuple[Tensor, float]]:
    """Σ_o (∂f_o/∂w)²."""
    yield from ((output, 1.0) for output in outputs[0].flatten())


def by_loss(task: Task) -> Callable[[Tensor, Batch], Iterator[tuple[Tensor, float]]]:
    """(∂L/∂w)²."""
    return lambda outputs, batch: iter([(task.loss(outputs, batch), 1.0)])


def sample_hessians(task: Task) -> dict[str, Tensor]:
    """∇²_ii L of every sample, shape (samples, *the parameter's), by differentiating each slope once more."""
    params = leaves(task)
    found: dict[str, list[Tensor]] = {name: [] for name, tensor in params.items() if tensor.requires_grad}
    with mode(task.module, training=False):
        for batch in one_by_one(task):
            for name, entries in found.items():
                leaf = params[name]
                loss = task.loss(task.outputs(params, batch), batch)
                (slope,) = torch.autograd.grad(loss, leaf, create_graph=True, allow_unused=True, materialize_grads=True)
                diagonal = torch.zeros(leaf.numel(), dtype=DOUBLE)
                for i, part in enumerate(slope.flatten() if slope.requires_grad else ()):
                    (row,) = torch.autograd.grad(
                        part, leaf, retain_graph=True, allow_unused=True, materialize_grads=True
                    )
                    diagonal[i] = row.flatten()[i]
                entries.append(diagonal.view_as(leaf))
    return {name: torch.stack(entries) for name, entries in found.items()}
