"""Conv-2 of Frankle & Carbin for CIFAR-10: two convolutions, one max-pooling, three linear layers.

Frankle & Carbin, "The lottery ticket hypothesis: finding sparse, trainable neural networks" (ICLR 2019), figure 2: a
VGG for 32 × 32 pixels, scaled down; 64, 64, pooling, 256, 256, 10; of 4.3 million weights 38 thousand are those of
convolutions. Kernels are of 3 × 3, and maps stay as large as they are; ReLU follows all layers but the last.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from laconic.errors import DataError


@final
class Conv2(nn.Module):
    """4,301,642 parameters on CIFAR-10: 4,300,992 weights and 650 biases.

    Args:
        shape: (channels, height, width) of one input.
        classes: number of outputs.

    Raises:
        DataError: when the inputs are no images, or of a single row or column.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape[1:]) < 2:
            raise DataError(f"conv2 takes images of at least 2x2 pixels, not {shape}; lenet300 takes any shape")
        self.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * (shape[1] // 2) * (shape[2] // 2), 256)
        self.fc2 = nn.Linear(256, 256)
        self.fc3 = nn.Linear(256, classes)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        inputs = inputs.to(memory_format=torch.channels_last)
        hidden = F.max_pool2d(torch.relu(self.conv2(torch.relu(self.conv1(inputs)))), 2)
        hidden = torch.relu(self.fc2(torch.relu(self.fc1(hidden.flatten(1)))))
        logits: Tensor = self.fc3(hidden)
        return logits


def initialize_glorot(module: nn.Module, generator: Generator) -> None:
    """Draw weights from Glorot's normal distribution, layer by layer, and set biases to zero, as that paper does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
