"""Small networks of each kind, with samples that they read: what calibration meets."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Language(nn.Module):
    """An embedding, a recurrence of two layers, and logits."""

    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(40, 16)
        self.lstm = nn.LSTM(16, 16, 2, batch_first=True)
        self.last = nn.Linear(16, 40)
        if tied:
            self.last.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.lstm(self.table(tokens))[0])


class Block(nn.Module):
    """A transformer's block."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 32)
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm = nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 32))
        self.last = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return self.last((x + self.mlp(self.norm(x))).mean(1))


class Twice(nn.Module):
    """A layer that is called twice, one with the weight of another, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.never = (nn.Linear(32, 32) for _ in range(3))
        self.b.weight = self.a.weight
        self.middle, self.last = nn.Linear(32, 48), nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.b(self.a(self.a(x).relu()).relu()).relu()).relu())


def normed(*layers: nn.Module) -> nn.Sequential:
    """Layers whose batch normalizations have seen something."""
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return nn.Sequential(*layers)


def conv() -> nn.Module:
    first, second = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.Conv2d(16, 24, 3, stride=2)
    return normed(
        first, nn.BatchNorm2d(16), nn.ReLU(), second, nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


def grouped() -> nn.Module:
    return normed(
        nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, groups=4), nn.ReLU(), nn.Flatten(), nn.Linear(512, 7),
    )  # fmt: skip


def mlp() -> nn.Module:
    """With normalization and dropout."""
    middle = nn.LayerNorm(48), nn.GELU(), nn.Dropout(0.5), nn.Linear(48, 48), nn.ReLU()
    return nn.Sequential(nn.Linear(24, 48), *middle, nn.Linear(48, 4))


def plain(dtype: torch.dtype = torch.float32) -> nn.Module:
    return nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)).to(dtype)


def with_zeros() -> nn.Module:
    """A weight of zeros, and a layer that always gives zeros."""
    zeros, dead = nn.Linear(64, 64), nn.Linear(24, 64)
    nn.init.zeros_(zeros.weight)
    nn.init.constant_(dead.bias, -100.0)
    return nn.Sequential(nn.Linear(24, 24), nn.ReLU(), dead, nn.ReLU(), zeros, nn.ReLU(), nn.Linear(64, 8))


def one_output() -> nn.Module:
    return nn.Sequential(nn.Linear(24, 64), nn.Tanh(), nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 1))


def frozen() -> nn.Module:
    return plain().requires_grad_(False)


def vectors() -> Tensor:
    return torch.randn(96, 24)


NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "conv": (conv, lambda: torch.randn(48, 3, 8, 8)),
    "grouped": (grouped, lambda: torch.randn(30, 3, 8, 8)),
    "mlp": (mlp, vectors),
    "language": (Language, lambda: torch.randint(0, 40, (40, 9))),
    "tied": (lambda: Language(tied=True), lambda: torch.randint(0, 40, (40, 9))),
    "block": (Block, lambda: torch.randn(40, 7, 6)),
    "twice": (Twice, lambda: torch.randn(96, 32)),
    "few samples": (plain, lambda: torch.randn(5, 24)),
    "one sample": (plain, lambda: torch.randn(1, 24)),
    "zeros": (with_zeros, vectors),
    "one output": (one_output, vectors),
    "frozen": (frozen, vectors),
    "float16": (lambda: plain(torch.float16), lambda: vectors().half()),
    "bfloat16": (lambda: plain(torch.bfloat16), lambda: vectors().bfloat16()),
    "float64": (lambda: plain(torch.float64), lambda: vectors().double()),
}
"""What makes a network, and what its samples."""


def net(name: str, seed: int = 0) -> tuple[nn.Module, Any]:
    """A network with its samples; torch's own chance stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module, samples = (make() for make in NETS[name])
    return module, samples
