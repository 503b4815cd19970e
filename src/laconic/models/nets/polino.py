"""The teacher and the three students of Polino, Pascanu & Alistarh 2018 for CIFAR-10.

"Model compression via distillation and quantization" (ICLR 2018), table 9; shapes are those of the authors' code. After
each layer but the last there is a ReLU, then batch normalization, then perhaps max-pooling and dropout, of channels
after a convolution. One departure: their networks have a ReLU after the logits, too, which would hide from a student
whatever a teacher says below 0.

    polino-5.3m   76, 76, M, 126, 126, M, 148 × 4, M of 3 × 3; linear 1200, 1200: the teacher
    polino-1.0m   75, 50, M, 50, 25, M of 5 × 5; linear 500: student 1
    polino-0.3m   50, 25, M, 25, 10, M of 5 × 5; linear 400: student 2
    polino-0.1m   25, 10, M, 10, 5, M of 5 × 5; linear 300: student 3
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from torch import nn

from laconic.errors import DataError

_Sizes = tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...], Mapping[int, float]]
"""Side of a kernel; channels; hidden neurons; layers after which there is max-pooling, and dropout by what share."""

_STUDENTS = ((75, 50, 50, 25), 500), ((50, 25, 25, 10), 400), ((25, 10, 10, 5), 300)
_DROPPED = {1: 0.2, 3: 0.3, 4: 0.4}

_SIZES: Mapping[str, _Sizes] = {
    "polino-5.3m": (
        3, (76, 76, 126, 126, 148, 148, 148, 148), (1200, 1200), (1, 3, 7), {1: 0.2, 3: 0.3, 7: 0.35, 8: 0.4, 9: 0.4},
    ),
    **{
        f"polino-{millions}m": (5, channels, (hidden,), (1, 3), _DROPPED)
        for millions, (channels, hidden) in zip(("1.0", "0.3", "0.1"), _STUDENTS, strict=True)
    },
}  # fmt: skip


def _built(name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return a network of the table.

    Raises:
        DataError: when the inputs are not images of 32 × 32.
    """
    if len(shape) != 3 or tuple(shape[1:]) != (32, 32):
        raise DataError(f"{name} takes images of 32x32 pixels, not {shape}; a resnet takes any size")
    kernel, channels, hidden, pooled, dropped = _SIZES[name]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before, side = shape[0], shape[1]
    for place, width in enumerate(channels):
        layers[f"conv{place + 1}"] = nn.Conv2d(before, width, kernel, padding=kernel // 2)
        layers[f"relu{place + 1}"], layers[f"bn{place + 1}"] = nn.ReLU(), nn.BatchNorm2d(width)
        if place in pooled:
            layers[f"pool{place + 1}"], side = nn.MaxPool2d(2), side // 2
        if place in dropped:
            layers[f"dropout{place + 1}"] = nn.Dropout2d(dropped[place])
        before = width
    layers["flatten"], before = nn.Flatten(), before * side * side
    for place, width in enumerate(hidden, len(channels)):
        layers[f"fc{place + 1}"] = nn.Linear(before, width)
        layers[f"relu{place + 1}"], layers[f"bn{place + 1}"] = nn.ReLU(), nn.BatchNorm1d(width)
        if place in dropped:
            layers[f"dropout{place + 1}"] = nn.Dropout(dropped[place])
        before = width
    layers["out"] = nn.Linear(before, classes)
    return nn.Sequential(layers)


POLINO: Mapping[str, Callable[[tuple[int, ...], int], nn.Module]] = MappingProxyType(
    {name: partial(_built, name) for name in _SIZES}
)
"""Name → (shape of one input, classes) → network."""
