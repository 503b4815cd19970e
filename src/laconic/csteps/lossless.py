"""No compression but the file's lossless one: what a plan leaves alone on purpose."""

from dataclasses import dataclass
from typing import final

from laconic.codes import Code, DenseCode
from laconic.csteps.compression import Codes, Compression
from laconic.metric import Metrics
from laconic.params import Params, to_numpy


@final
@dataclass(frozen=True)
class Lossless(Compression):
    """The whole space: `min_Θ ‖w − Θ‖²`, solved by Θ = w. Every bit pattern survives, NaN and integers too."""

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return the weights themselves."""
        return {name: DenseCode.of(to_numpy(tensor)) for name, tensor in weights.items()}
