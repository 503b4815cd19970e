"""What is compared: weights of few bits in every forward pass, and LC towards the same values."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.fixed_codebook import BINARY, FixedCodebook
from laconic.csteps.lossless import Lossless
from laconic.training.binary import BinaryConnect
from laconic.training.latent import Latent
from laconic.training.ternary import TrainedTernary

RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Learning rates that every method tries on the first seed; validation images choose one for all seeds."""


@final
@dataclass(frozen=True)
class Method:
    """How a trained network gets weights of few values.

    Args:
        compression: the C step of LC; of the others what puts into a file what training has left.
        latent: what is trained in place of weights; None for LC.
        signs: whether layers read signs, too.
        said: what its weights are, for the page.
    """

    compression: Compression
    latent: Latent | None = None
    signs: bool = False
    said: str = ""

    @property
    def training(self) -> str:
        """Names what is trained: methods that differ in the file alone share it."""
        return f"{self.latent or self.compression}{', signs' if self.signs else ''}"


_SCALED, _DRAWN = FixedCodebook(BINARY), BinaryConnect(stochastic=True)

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "BinaryConnect": Method(_SCALED, BinaryConnect(), said="±H, H of Glorot fixed for each tensor"),
        "BinaryConnect, scaled": Method(_SCALED, BinaryConnect("mean"), said="± the mean of |w|"),
        "BinaryConnect, drawn": Method(Lossless(), _DRAWN, said="±H is drawn; real weights are judged, as in print"),
        "BinaryConnect, drawn, signs": Method(_SCALED, _DRAWN, said="the same network; its signs are judged"),
        "BNN": Method(_SCALED, BinaryConnect(), signs=True, said="±H, and what layers read is ±1"),
        "TTQ": Method(AdaptiveCodebook(3), TrainedTernary(), said="−n, 0, p; n and p are trained"),
        "LC, ±1": Method(FixedCodebook(BINARY, scale="none"), said="no scale"),
        "LC, ±a": Method(_SCALED, said="a scale for each tensor"),
    }
)
"""By name, in the order of the table."""

FAST = ("BinaryConnect", "LC, ±a")
"""What is run with --fast."""
