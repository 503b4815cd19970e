"""The LeNets of the compression literature.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition" (Proc. IEEE, 1998).
"""

import math
from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError


@final
class LeNet300(nn.Module):
    """LeNet-300-100: three fully connected layers, 266,610 parameters on MNIST.

    Args:
        shape: of one input; it is flattened.
        classes: number of outputs.
        activation: after the first and the second layer.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(math.prod(shape), 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, classes)
        self.activation = activation

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        hidden = self.activation(self.fc1(inputs.flatten(1)))
        logits: Tensor = self.fc3(self.activation(self.fc2(hidden)))
        return logits


@final
class LeNet5(nn.Module):
    """LeNet-5 with the widths of Caffe's example (20-50-500), 431,080 parameters on MNIST.

    Max-pooling follows the convolutions, with no other non-linearity; a ReLU stands between the last two layers.

    Args:
        shape: (channels, height, width) of one input, at least 16x16.
        classes: number of outputs.

    Raises:
        DataError: when the inputs are no images or too small for two convolutions of 5x5.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape[1:]) < 16:
            raise DataError(f"lenet5 takes images of at least 16x16 pixels, not {shape}; lenet300 takes any shape")
        height, width = (((side - 4) // 2 - 4) // 2 for side in shape[1:])
        self.conv1 = nn.Conv2d(shape[0], 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(50 * height * width, 500)
        self.fc2 = nn.Linear(500, classes)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        inputs = inputs.to(memory_format=torch.channels_last)  # where processors pool and convolve 1.7 times faster
        hidden = F.max_pool2d(self.conv1(inputs), 2)
        hidden = F.max_pool2d(self.conv2(hidden), 2)
        logits: Tensor = self.fc2(torch.relu(self.fc1(hidden.flatten(1))))
        return logits


def initialize_xavier(module: nn.Module, generator: Generator) -> None:
    """Draw weights from Xavier's uniform distribution, layer by layer, and set biases to zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
