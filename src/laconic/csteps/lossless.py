"""No compression but the file's lossless one: what a plan leaves alone on purpose."""

from dataclasses import dataclass
from typing import final

from laconic.csteps.compression import Codes, Compression
from laconic.errors import WeightsError
from laconic.format.codes import DTYPES, Code, DenseCode
from laconic.models.params import Params, dtype_name, to_numpy
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class Lossless(Compression):
    """The whole space: `min_Θ ‖w − Θ‖²`, solved by Θ = w. Every bit pattern survives, NaN and integers too.

    >>> import torch
    >>> Lossless().project({"w": torch.tensor([float("nan"), 1.0])})["w"].decompress()
    array([nan,  1.], dtype=float32)
    """

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return the weights themselves.

        Raises:
            WeightsError: for an element type that no file can hold.
        """
        for name, tensor in weights.items():
            if dtype_name(tensor) not in DTYPES:
                raise WeightsError(f"{name}: {dtype_name(tensor)} cannot be stored; supported are {', '.join(DTYPES)}")
        return {name: DenseCode.of(to_numpy(tensor)) for name, tensor in weights.items()}
