"""The multilayer perceptron of Gao et al. 2019 for MNIST: two hidden layers of 256 units with dropout."""

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn


@final
class MLP256(nn.Module):
    """784-256-256-10 with ReLU and dropout of 0.2 after each hidden layer: 269,322 parameters on MNIST.

    Sizes are those of the checkpoint that Gao, Liu, Wang & Oh 2019 load (`aaron-xichen/pytorch-playground`, 98.42 %).

    Args:
        shape: of one input; it is flattened.
        classes: number of outputs.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(math.prod(shape), 256)
        self.fc2 = nn.Linear(256, 256)
        self.fc3 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(0.2)

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        hidden = self.dropout(torch.relu(self.fc1(inputs.flatten(1))))
        logits: Tensor = self.fc3(self.dropout(torch.relu(self.fc2(hidden))))
        return logits


def initialize_uniform(module: nn.Module, generator: Generator) -> None:
    """Draw weights and biases of each layer from ±1/√fan-in, as torch's own layers do when they are made."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
