"""Codes of thin layers in place of the code of a weight that is their product."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from torch import nn

from laconic.deploy.factored import Factored, thin
from laconic.deploy.slicing import cut, reshaped
from laconic.format.codes import CanonicalCode, Code, LowRankCode, TuckerCode
from laconic.format.codes.low_rank import VIEWS


class Thinned(NamedTuple):
    """Thin layers in place of one.

    Args:
        kind: how its weight is a product, of `laconic.deploy.factored.KINDS`.
        ranks: of the product.
        layers: in the order in which they run; nobody has set their weights.
        codes: of these.
    """

    kind: str
    ranks: tuple[int, ...]
    layers: Factored
    codes: list[Code]

    @property
    def size(self) -> int:
        """Numbers of all weights."""
        return sum(code.size for code in self.codes)

    def instead(self, codes: Mapping[str, Code], path: str) -> dict[str, Code]:
        """Return codes of a network with those of the thin layers in place of the layer's, by the names of a chain."""
        made: dict[str, Code] = {}
        for name, code in codes.items():
            if name == f"{path}.weight":
                made |= {f"{path}.{number}.weight": part for number, part in enumerate(self.codes)}
            elif name == f"{path}.bias":
                made[f"{path}.{len(self.codes) - 1}.bias"] = code
            else:
                made[name] = code
        return made


def thinned(layer: nn.Module, code: Code) -> Thinned | None:
    """Return the thin layers that a layer becomes whose weight has ``code``, or None where there are none.

    The numbers are those of the code's own parts.
    """
    if isinstance(code, LowRankCode):
        return _made(layer, code.view, (code.rank,), [code.right, _of(code.left, _raised(code))])
    if isinstance(code, TuckerCode):
        ranks = code.core.shape[0], code.core.shape[1]
        return _made(layer, "tucker", ranks, [code.right, code.core, code.left])
    if isinstance(code, CanonicalCode) and len(code.shape) == 4:
        rank, starts = code.factors.shape[1], np.cumsum([0, *code.shape])
        places = [np.arange(a * rank, b * rank).reshape(-1, rank) for a, b in pairwise(starts)]
        out, in_, high, wide = places
        parts = [_of(code.factors, some) for some in (in_.T, high.T, wide.T, out)]
        return _made(layer, "canonical", (rank,), parts)
    return None


def _made(layer: nn.Module, kind: str, ranks: tuple[int, ...], codes: list[Code]) -> Thinned | None:
    """Return codes in the shapes of the layers."""
    layers = thin(layer, kind, ranks) if min(ranks) else None
    if layers is None:
        return None
    shapes = [tuple(part.weight.shape) for part in layers]  # type: ignore[arg-type]
    return Thinned(kind, ranks, layers, [reshaped(code, shape) for code, shape in zip(codes, shapes, strict=True)])


def _of(code: Code, places: np.ndarray | None) -> Code:
    """Return the code of the numbers of another at places, shape (n,); of all of them in their order without places."""
    if places is None:
        return code
    return cut(reshaped(code, (code.size,)), {0: tuple(places.reshape(-1).tolist())})


def _raised(code: LowRankCode) -> np.ndarray | None:
    """Return the places of the left factor in the order of a kernel (outputs, rank, height or width)."""
    if code.view == VIEWS[0]:
        return None
    return np.arange(code.left.size).reshape(code.shape[0], -1, code.rank).transpose(0, 2, 1)
