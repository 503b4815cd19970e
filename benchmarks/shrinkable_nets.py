"""Small networks of each kind that pruning empties, with what they run on."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dense(nn.Module):
    """Each convolution reads all channels before it, one beside the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1, bias=False)
        self.second, self.last = nn.Conv2d(28, 12, 3, padding=1), nn.Linear(40 * 4, 5)
        self.norms = nn.ModuleList([nn.BatchNorm2d(12), nn.GroupNorm(4, 12)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = torch.cat([x, F.relu(self.norms[0](self.first(x)))], 1)
        x = torch.cat([x, F.relu(self.norms[1](self.second(x)))], 1)
        return self.last(F.adaptive_avg_pool2d(x, 2).flatten(1))


def depthwise() -> nn.Module:
    """Pointwise and depthwise convolutions in turn, and one in groups."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.Hardswish(),
        nn.Conv2d(32, 64, 3, 2, padding=1, groups=32), nn.GroupNorm(8, 64), nn.SiLU(),
        nn.Conv2d(64, 32, 3, padding=1, groups=4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 5),
    )  # fmt: skip


class GroupedQueries(nn.Module):
    """Attention in which two heads of queries share one of keys and values."""

    def __init__(self, width: int, *, by_hand: bool) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim, self.by_hand = 8, 4, 4, by_hand
        self.q, self.o = nn.Linear(width, 32, bias=False), nn.Linear(32, width, bias=False)
        self.k, self.v = nn.Linear(width, 16, bias=False), nn.Linear(width, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q = self.q(x).view(batch, length, self.n_heads, self.head_dim).transpose(1, 2)
        k = self.k(x).view(batch, length, self.n_kv_heads, self.head_dim).transpose(1, 2)
        v = self.v(x).view(batch, length, self.n_kv_heads, self.head_dim).transpose(1, 2)
        if self.by_hand:
            k, v = (part.repeat_interleave(self.n_heads // self.n_kv_heads, 1) for part in (k, v))
            mixed = (q @ k.transpose(2, 3) / self.head_dim**0.5).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o(mixed.transpose(1, 2).reshape(batch, length, -1))


class Packed(nn.Module):
    """Attention whose queries, keys and values are one projection, cut by a width that it keeps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.width = 8, width
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).split(self.width, 2)
        q, k, v = (part.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for part in parts)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Gated(nn.Module):
    """Two halves of one projection, multiplied."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 128, bias=False), nn.Linear(64, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * value)


class Language(nn.Module):
    """A transformer whose logits are made of its embedding."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(50, 32), nn.Parameter(torch.randn(16, 32))
        self.attention, self.mlp, self.logits = attention, Gated(32), nn.Linear(32, 50, bias=False)
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.RMSNorm(32), nn.LayerNorm(32)])
        self.logits.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens) + self.places[: tokens.shape[1]]
        y = self.norms[0](x)
        own = isinstance(self.attention, nn.MultiheadAttention)
        x = x + (self.attention(y, y, y, need_weights=False)[0] if own else self.attention(y))
        return self.logits(self.norms[2](x + self.mlp(self.norms[1](x))))


def images() -> Tensor:
    return torch.randn(2, 3, 8, 8)


def tokens() -> Tensor:
    return torch.randint(0, 50, (2, 9))


NETS = {
    "concatenation": (Dense, images),
    "depthwise": (depthwise, images),
    "grouped queries": (lambda: Language(GroupedQueries(32, by_hand=False)), tokens),
    "grouped queries by hand": (lambda: Language(GroupedQueries(32, by_hand=True)), tokens),
    "packed projections": (lambda: Language(Packed(32)), tokens),
    "torch's attention": (lambda: Language(nn.MultiheadAttention(32, 4, batch_first=True)), tokens),
    "torch's, in turn": (lambda: Language(nn.MultiheadAttention(32, 4, kdim=32, vdim=32)), tokens),
}
"""What kind of network it is → how it is made, and what it runs on."""


def net(name: str) -> tuple[nn.Module, Tensor]:
    """A network of a kind with weights of seed 0, and an example."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        make, example = NETS[name]
        return stirred(make()), example()


def stirred(module: nn.Module) -> nn.Module:
    """A network in evaluation mode, whose normalizations have seen something."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.normal_(part.bias)
    return module.eval()
