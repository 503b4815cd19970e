"""Tables 1 to 5 of Deep Compression, as they are in print (Han, Mao & Dally, ICLR 2016)."""

import math
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Layer:
    """A line of tables 2 to 5; shares and rates in percent.

    Args:
        name: of the layer.
        shape: of its weights, which the print rounds.
        kept: "weights%".
        bits: of a value, P+Q.
        coded: the same, P+Q+H.
        index: bits of a relative index, P+Q.
        index_coded: the same, P+Q+H.
        rate: "compress rate", P+Q.
        rate_coded: the same, P+Q+H.
    """

    name: str
    shape: tuple[int, ...]
    kept: float
    bits: float
    coded: float
    index: int
    index_coded: float
    rate: float
    rate_coded: float

    @property
    def weights(self) -> int:
        """How many."""
        return math.prod(self.shape)


@final
@dataclass(frozen=True)
class Network:
    """A network in print.

    Args:
        title: its name to people.
        table: its number.
        layers: in their order.
        rates: of all layers, P+Q and P+Q+H, in percent.
        errors: top-1 error of the reference and of the compressed network, in percent.
        times: how much smaller, in table 1.
    """

    title: str
    table: int
    layers: tuple[Layer, ...]
    rates: tuple[float, float]
    errors: tuple[float, float]
    times: int


LENET300 = Network(
    "LeNet-300-100", 2, (
        Layer("ip1", (300, 784), 8, 6, 4.4, 5, 3.7, 3.1, 2.32),
        Layer("ip2", (100, 300), 9, 6, 4.4, 5, 4.3, 3.8, 3.04),
        Layer("ip3", (10, 100), 26, 6, 4.3, 5, 3.2, 15.7, 12.70),
    ), (3.1, 2.49), (1.64, 1.58), 40,
)  # fmt: skip

LENET5 = Network(
    "LeNet-5", 3, (
        Layer("conv1", (20, 1, 5, 5), 66, 8, 7.2, 5, 1.5, 78.5, 67.45),
        Layer("conv2", (50, 20, 5, 5), 12, 8, 7.2, 5, 3.9, 6.0, 5.28),
        Layer("ip1", (500, 800), 8, 5, 4.5, 5, 4.5, 2.7, 2.45),
        Layer("ip2", (10, 500), 19, 5, 5.2, 5, 3.7, 6.9, 6.13),
    ), (3.05, 2.55), (0.80, 0.74), 39,
)  # fmt: skip

ALEXNET = Network(
    "AlexNet", 4, (
        Layer("conv1", (96, 3, 11, 11), 84, 8, 6.3, 4, 1.2, 32.6, 20.53),
        Layer("conv2", (256, 48, 5, 5), 38, 8, 5.5, 4, 2.3, 14.5, 9.43),
        Layer("conv3", (384, 256, 3, 3), 35, 8, 5.1, 4, 2.6, 13.1, 8.44),
        Layer("conv4", (384, 192, 3, 3), 37, 8, 5.2, 4, 2.5, 14.1, 9.11),
        Layer("conv5", (256, 192, 3, 3), 37, 8, 5.6, 4, 2.5, 14.0, 9.43),
        Layer("fc6", (4096, 9216), 9, 5, 3.9, 4, 3.2, 3.0, 2.39),
        Layer("fc7", (4096, 4096), 9, 5, 3.6, 4, 3.7, 3.0, 2.46),
        Layer("fc8", (1000, 4096), 25, 5, 4, 4, 3.2, 7.3, 5.85),
    ), (3.7, 2.88), (42.78, 42.78), 35,
)  # fmt: skip

VGG16 = Network(
    "VGG-16", 5, (
        Layer("conv1_1", (64, 3, 3, 3), 58, 8, 6.8, 5, 1.7, 40.0, 29.97),
        Layer("conv1_2", (64, 64, 3, 3), 22, 8, 6.5, 5, 2.6, 9.8, 6.99),
        Layer("conv2_1", (128, 64, 3, 3), 34, 8, 5.6, 5, 2.4, 14.3, 8.91),
        Layer("conv2_2", (128, 128, 3, 3), 36, 8, 5.9, 5, 2.3, 14.7, 9.31),
        Layer("conv3_1", (256, 128, 3, 3), 53, 8, 4.8, 5, 1.8, 21.7, 11.15),
        Layer("conv3_2", (256, 256, 3, 3), 24, 8, 4.6, 5, 2.9, 9.7, 5.67),
        Layer("conv3_3", (256, 256, 3, 3), 42, 8, 4.6, 5, 2.2, 17.0, 8.96),
        Layer("conv4_1", (512, 256, 3, 3), 32, 8, 4.6, 5, 2.6, 13.1, 7.29),
        Layer("conv4_2", (512, 512, 3, 3), 27, 8, 4.2, 5, 2.9, 10.9, 5.93),
        Layer("conv4_3", (512, 512, 3, 3), 34, 8, 4.4, 5, 2.5, 14.0, 7.47),
        Layer("conv5_1", (512, 512, 3, 3), 35, 8, 4.7, 5, 2.5, 14.3, 8.00),
        Layer("conv5_2", (512, 512, 3, 3), 29, 8, 4.6, 5, 2.7, 11.7, 6.52),
        Layer("conv5_3", (512, 512, 3, 3), 36, 8, 4.6, 5, 2.3, 14.8, 7.79),
        Layer("fc6", (4096, 25088), 4, 5, 3.6, 5, 3.5, 1.6, 1.10),
        Layer("fc7", (4096, 4096), 4, 5, 4, 5, 4.3, 1.5, 1.25),
        Layer("fc8", (1000, 4096), 23, 5, 4, 5, 3.4, 7.1, 5.24),
    ), (3.2, 2.05), (31.50, 31.17), 49,
)  # fmt: skip
