"""How gradients travel: a codec, what a worker remembers beside it, and which tensors are left alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from laconic.errors import PlanError
from laconic.machines.codec import GradientCodec
from laconic.machines.floats import Floats
from laconic.machines.largest import Largest, warmed_up
from laconic.machines.memory import Forgetful, Memory

PLAIN = Floats()
"""What tensors get that are left alone."""

Shape = tuple[int, ...]


@final
@dataclass(frozen=True)
class Scheme:
    """What becomes of the gradients of a network.

    Args:
        codec: of each tensor that is not left alone.
        memory: what a worker keeps.
        smallest: tensors of fewer numbers are left alone.
        axes: tensors of fewer axes are left alone.
        last: the last layer is coded as well: the last tensor of two axes or more, and what has the same name before
            the last point.
        clip: the longest gradient, over all tensors; each of N workers holds its own to clip/√N before anything else
            (Lin et al., section 3). None for no limit.
        warm_up: steps of each stage in which `Largest` sends more; 0 for none.

    Raises:
        PlanError: for numbers that are none, and a warm-up of another codec.
    """

    codec: GradientCodec = PLAIN
    memory: Memory = Forgetful()  # noqa: RUF009  a frozen value
    smallest: int = 0
    axes: int = 0
    last: bool = True
    clip: float | None = None
    warm_up: int = 0

    def __post_init__(self) -> None:
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise PlanError(f"clip is a length above 0, or None, not {self.clip}")
        if self.warm_up < 0 or (self.warm_up and not isinstance(self.codec, Largest)):
            raise PlanError(f"a warm-up is of the share that Largest sends, in steps a stage, not {self.warm_up}")

    def codec_at(self, step: int) -> GradientCodec:
        """Return the codec of a step, counted from 0."""
        if self.warm_up and isinstance(self.codec, Largest):
            return replace(self.codec, share_sent=warmed_up(self.codec.share_sent, step // self.warm_up))
        return self.codec

    def left_alone(self, shapes: Mapping[str, Shape]) -> frozenset[str]:
        """Return the tensors that travel as float32.

        Args:
            shapes: of all parameters, in the order of the module.

        >>> shapes = {"a.weight": (9, 9), "a.bias": (9,), "b.weight": (99, 9), "b.bias": (99,)}
        >>> sorted(Scheme(smallest=50, last=False).left_alone(shapes))
        ['a.bias', 'b.bias', 'b.weight']
        """
        small = {name for name, shape in shapes.items() if math.prod(shape) < self.smallest or len(shape) < self.axes}
        matrices = [name for name, shape in shapes.items() if len(shape) >= 2]
        if self.last or not matrices:
            return frozenset(small)
        layer = matrices[-1].rpartition(".")[0]
        return frozenset(small | {name for name in shapes if name.rpartition(".")[0] == layer})
