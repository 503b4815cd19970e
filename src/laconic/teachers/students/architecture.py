"""A network as rows that describe its layers: rows are removed and shrunk, and of what is left a network is made.

A network of rows that nothing was done to computes what its teacher does, and has its tensors in the same order. A
removed row is left out; a row that is shrunk has fewer outputs, and the next one as many inputs. Within a residual
block, rows of convolutions from its beginning to its end, all may go: the shortcut is left, of option A, which pads
with zero channels or cuts them off.

Source: Ashok, Rhinehart, Beainy & Kitani, "N2N learning: Network to Network Compression via Policy Gradient
Reinforcement Learning" (ICLR 2018), sections 3.2 and 3.3. What is fixed there is fixed here, the last layer and
convolutions that subsample, and the first layer too where it stands before residual blocks, whose channels are counted
from it. Departures: any linear layer but the last may go; of a row the number of outputs alone is shrunk, kernels are
as they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from laconic.errors import DataError, PlanError
from laconic.models.nets.resnet import BatchNorm, shortcut

Kind = Literal["convolution", "pooling", "linear", "mean"]
KINDS: tuple[Kind, ...] = ("convolution", "pooling", "linear", "mean")


@final
@dataclass(frozen=True)
class Layer:
    """A row.

    Args:
        kind: a convolution, max-pooling, a linear layer, or the mean over all positions.
        outputs: channels or neurons; 0 where a layer has as many as its inputs.
        kernel: side of a convolution, or of what is pooled.
        stride: of it.
        padding: of a convolution, on each side.
        activation: whether a ReLU follows.
        norm: whether batch normalization follows, in place of a bias.
        block: number of the residual block that the row is in, from 1; 0 for none.
        fixed: whether it always stays.
    """

    kind: Kind
    outputs: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    activation: bool = False
    norm: bool = False
    block: int = 0
    fixed: bool = False


@final
@dataclass(frozen=True)
class Architecture:
    """Rows from inputs to logits.

    Args:
        rows: of the layers; the last is linear, fixed, and has an output for each class.
        shape: (channels, height, width) of one input.

    Raises:
        DataError: for rows that do not end so.

    >>> small = lenet5((1, 28, 28)).shrunk([0.5, 1, 0.2, 1, 0.1, 1])
    >>> [row.outputs for row in small.rows if row.outputs], small.parameters
    ([10, 10, 50, 10], 11330)
    """

    rows: tuple[Layer, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise DataError(f"students are made for images (channels, height, width), not inputs of {self.shape}")
        if not self.rows or not (self.rows[-1].fixed and self.rows[-1].kind == "linear" and self.rows[-1].outputs):
            raise DataError("the last row of an architecture is linear and fixed, with an output for each class")

    def removed(self, kept: Sequence[int]) -> "Architecture":
        """Return the architecture without some rows; fixed ones stay whatever is said of them.

        Args:
            kept: for each row 1 where it stays, 0 where it goes.

        Raises:
            PlanError: for another number of actions than rows.
        """
        self._require(kept)
        rows = tuple(row for row, stays in zip(self.rows, kept, strict=True) if stays or row.fixed)
        return replace(self, rows=rows)

    def shrunk(self, shares: Sequence[float]) -> "Architecture":
        """Return the architecture with a share of each row's outputs, rounded, at least one; the classes stay.

        Args:
            shares: for each row above 0 and at most 1; of rows without outputs of their own none is heeded.

        Raises:
            PlanError: for another number of shares than rows.
        """
        self._require(shares)
        *others, last = [
            replace(row, outputs=max(1, round(row.outputs * share))) if row.outputs else row
            for row, share in zip(self.rows, shares, strict=True)
        ]
        return replace(self, rows=(*others, replace(last, outputs=self.rows[-1].outputs)))

    @property
    def parameters(self) -> int | None:
        """How many parameters its network has; None where no network can be made: an image has become too small."""
        with torch.device("meta"):
            module = _made(self)
        return None if module is None else sum(one.numel() for one in module.parameters())

    def build(self, generator: Generator) -> nn.Module:
        """Return its network, with weights of Kaiming's normal distribution (fan-in, gain √2) and biases of zero.

        Raises:
            PlanError: where no network can be made.
        """
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator when they are made
            module = _made(self)
        if module is None:
            raise PlanError("no network has these rows: a kernel is larger than what it reads")
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        return module

    def described(self) -> str:
        """Return the rows in a line: `conv 20, pool, conv 50, pool, linear 500, linear 10`."""
        short = {"convolution": "conv", "pooling": "pool", "linear": "linear", "mean": "mean"}
        parts = [f"{short[row.kind]} {row.outputs}" if row.outputs else short[row.kind] for row in self.rows]
        return ", ".join(parts)

    def _require(self, actions: Sequence[float]) -> None:
        """Check that there is an action for each row."""
        if len(actions) != len(self.rows):
            raise PlanError(f"{len(actions)} actions for {len(self.rows)} rows: give one for each")


@final
class Student(nn.Module):
    """The network of some rows.

    Args:
        parts: one for each group of rows, in order.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        for part in self.parts:
            inputs = part(inputs)
        return inputs


@final
class Residual(nn.Module):
    """What is left of a residual block: some convolutions, a shortcut of option A around them, and a ReLU.

    Args:
        layers: convolutions with what follows them, in order.
        channels: that the last one writes, or that come in.
        stride: of all of them together.
    """

    def __init__(self, layers: Sequence[nn.Module], channels: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.channels, self.stride = channels, stride

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the activations after the block."""
        return torch.relu(self.layers(inputs) + shortcut(inputs, self.channels, self.stride))


def _made(of: Architecture) -> nn.Module | None:
    """Return the module of an architecture, None where there is none."""
    parts, (channels, *sides), flat = list[nn.Module](), of.shape, False
    for block, group in groupby(of.rows, key=lambda row: row.block):
        rows, layers = list(group), list[nn.Module]()
        for place, row in enumerate(rows):
            if row.kind in ("convolution", "pooling") and not flat:
                sides = [(side + 2 * row.padding - row.kernel) // row.stride + 1 for side in sides]
                if min(sides) < 1:
                    return None
            if row.kind == "linear" and not flat:
                layers.append(nn.Flatten())
                channels, flat = channels * sides[0] * sides[1], True
            last = block > 0 and place == len(rows) - 1
            layers += _layers(replace(row, activation=False) if last else row, channels)
            channels = row.outputs or channels
            if row.kind == "mean":
                sides = [1, 1]
        stride = max(row.stride for row in rows)
        parts += [Residual(layers, channels, stride)] if block else layers
    return Student(parts)


def _layers(row: Layer, inputs: int) -> list[nn.Module]:
    """Return the modules of a row."""
    if row.kind == "pooling":
        return [nn.MaxPool2d(row.kernel, row.stride)]
    if row.kind == "mean":
        return [nn.AdaptiveAvgPool2d(1)]
    if row.kind == "linear":
        layers: list[nn.Module] = [nn.Linear(inputs, row.outputs)]
    else:
        layers = [nn.Conv2d(inputs, row.outputs, row.kernel, row.stride, row.padding, bias=not row.norm)]
    layers += [BatchNorm(row.outputs)] if row.norm else []
    return layers + ([nn.ReLU()] if row.activation else [])


def perceptron(shape: tuple[int, ...], widths: Sequence[int]) -> Architecture:
    """Return linear layers with ReLU between them, the last of ``widths`` being the classes."""
    *hidden, classes = widths
    rows = [Layer("linear", width, activation=True) for width in hidden]
    return Architecture((*rows, Layer("linear", classes, fixed=True)), shape)


def lenet5(shape: tuple[int, ...], classes: int = 10) -> Architecture:
    """Return the rows of `laconic.models.nets.LeNet5`."""
    pool = Layer("pooling", kernel=2, stride=2)
    rows = Layer("convolution", 20, 5), pool, Layer("convolution", 50, 5), pool, Layer("linear", 500, activation=True)
    return Architecture((*rows, Layer("linear", classes, fixed=True)), shape)


def resnet(shape: tuple[int, ...], blocks: int, classes: int = 10) -> Architecture:
    """Return the rows of `laconic.models.nets.ResNet`, of 6 · blocks + 2 layers."""
    rows = [Layer("convolution", 16, 3, padding=1, activation=True, norm=True, fixed=True)]
    for number in range(3 * blocks):
        channels, stride = 16 << number // blocks, 2 if number and number % blocks == 0 else 1
        row = Layer("convolution", channels, 3, padding=1, activation=True, norm=True, block=number + 1)
        rows += [replace(row, stride=stride, fixed=stride > 1), row]
    rows += [Layer("mean", fixed=True), Layer("linear", classes, fixed=True)]
    return Architecture(tuple(rows), shape)
