"""Two small convolutional networks of one shape of maps, thin and wide, and a task for either."""

import torch
from torch import Tensor, nn

from laconic.training.task import Task


class Thin(nn.Module):
    """Two convolutions, of which an activation changes the first's output in place, and one linear layer."""

    def __init__(self, width: int = 3, seed: int = 0, *, norm: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Conv2d(1, width, 3, padding=1)
            self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
            self.active = nn.ReLU(inplace=True)
            self.second = nn.Conv2d(width, 2 * width, 3)
            self.last = nn.Linear(2 * width * 16, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.second(self.active(self.norm(self.first(images)))).tanh().flatten(1))


def images(samples: int = 48, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (samples,), generator=g)
    pictures = torch.randn(samples, 1, 6, 6, generator=g)
    for label in range(4):  # a class is where its image is bright
        pictures[labels == label, :, label : label + 2, label : label + 2] += 1.5
    return pictures, labels


def task_of(module: nn.Module, *, batch: int = 16, samples: int = 48) -> Task:
    pictures, labels = images(samples)
    kind = next(module.parameters()).dtype
    batches = [(pictures[at : at + batch].to(kind), labels[at : at + batch]) for at in range(0, samples, batch)]
    return Task(module, train=batches, validation=batches[:1], loss=nn.CrossEntropyLoss())
