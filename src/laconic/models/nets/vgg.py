"""VGG-16 for CIFAR-10: thirteen convolutions of 3 × 3 with batch normalization, and one linear layer.

Configuration D of Simonyan & Zisserman 2015 ("Very deep convolutional networks for large-scale image recognition",
Table 1), with batch normalization, and in place of its three linear layers, for images of 224 × 224, one of 512 → 10:
the form that publications on compression mean by VGG-16 on CIFAR-10. Names of parameters, biases of convolutions among
them, are those of `kuangliu/pytorch-cifar`.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from laconic.errors import DataError

_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Of the convolutions; max-pooling follows each group."""


@final
class VGG16(nn.Module):
    """14,728,266 parameters on CIFAR-10: 14,715,584 weights, 4,234 biases and 8,448 numbers of normalizations.

    Args:
        shape: (channels, 32, 32) of one input.
        classes: number of outputs.

    Raises:
        DataError: when the inputs are not images of 32 × 32.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        if len(shape) != 3 or tuple(shape[1:]) != (32, 32):
            raise DataError(f"vgg16 takes images of 32x32 pixels, not {shape}; a resnet takes any size")
        layers, before = list[nn.Module](), shape[0]
        for group in _CHANNELS:
            for channels in group:
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
                before = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, classes)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        logits: Tensor = self.classifier(torch.flatten(self.features(inputs), 1))
        return logits
