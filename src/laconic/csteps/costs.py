"""What a compressed tensor costs to keep or to run: what a price in an objective is paid for.

A network runs as its codes stand: a factored tensor is its factors one after the other, a pruned one skips what is
zero, a sum is its parts. So a cost of arithmetic adds up over the innermost codes.
"""

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, final

import numpy as np

from laconic.csteps.layers import layers_of
from laconic.csteps.profile import Profile, Setting, predicted
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.codes.counting import ideal_bits
from laconic.models.uses import Use

Positions = Mapping[str, int] | Mapping[str, Use] | int
"""How often a tensor is applied to one input, by name or the same for all: height × width of what a convolution
writes, 1 for a fully connected layer. `laconic.models.counting` finds it by a run."""


class Cost(ABC):
    """A cost C(Θ) of a code, in a unit of its own; not negative, and additive over tensors."""

    @abstractmethod
    def __call__(self, name: str, code: Code) -> float:
        """Return what ``code``, the tensor ``name``, costs.

        Raises:
            PlanError: when nothing is known of the tensor ``name``.
        """

    @property
    def structural(self) -> bool:
        """Whether dense codes, and products of them, cost what their shapes and dtypes say, whatever their values."""
        return True


@final
@dataclass(frozen=True)
class Parameters(Cost):
    """How many numbers there are: `r (m + n)` of a product of rank r, the survivors of a pruned tensor.

    >>> from laconic.format.codes import DenseCode
    >>> Parameters()("w", DenseCode.of(np.zeros((3, 4))))
    12.0
    """

    def __call__(self, name: str, code: Code) -> float:
        """Return the elements of the innermost codes."""
        return float(sum(_sizes(code)))


@final
@dataclass(frozen=True)
class Bits(Cost):
    """How many bits it takes: the entropy of what is stored, or those of its file.

    Args:
        exact: what the tensor adds to an empty file, rather than its entropy
            (`laconic.format.codes.counting.ideal_bits`); slower, for it is encoded.
    """

    exact: bool = False

    def __call__(self, name: str, code: Code) -> float:
        """Return the bits."""
        return float(container.bits({name: code}) - container.bits({})) if self.exact else ideal_bits(code)

    @property
    def structural(self) -> bool:
        """Whether shapes decide: in a file exponents are entropy-coded."""
        return not self.exact


@final
@dataclass(frozen=True)
class Flops(Cost):
    """Multiplications with their additions for one input, each pair counted once, as the field counts.

    The positions are those of the output; that the first of two factors may run at more, before a stride, is left out.

    Source: Idelbayev & Carreira-Perpiñán, "Low-rank compression of neural nets" (CVPR 2020): `r (m + n) · positions`.

    Args:
        positions: how often a tensor is applied to one input.
    """

    positions: Positions = 1

    def __call__(self, name: str, code: Code) -> float:
        """Return the multiply-adds."""
        return float(_at(self.positions, name) * sum(_sizes(code)))


@final
@dataclass(frozen=True)
class Energy(Cost):
    """Picojoules for one input at 45 nm: `multiply-adds · (e_× + e_+) + bits / 32 · e_read`, each stored bit read once.

    Source: Horowitz (ISSCC 2014); the figures are in ``energy.toml``.

    Args:
        positions: how often a tensor is applied to one input.
        arithmetic: ``float32``, ``float16``, ``int32`` or ``int8``.
        memory: ``dram`` or ``sram``.

    Raises:
        PlanError: for an arithmetic or a memory that has no figures.
    """

    positions: Positions = 1
    arithmetic: str = "float32"
    memory: str = "dram"

    def __post_init__(self) -> None:
        for argument, value, known in (
            ("arithmetic", self.arithmetic, _picojoules()["multiply_add"]),
            ("memory", self.memory, _picojoules()["read"]),
        ):
            if value not in known:
                raise PlanError(f"{argument} is one of {', '.join(known)}, not {value!r}")

    @property
    def multiply_add(self) -> float:
        """Picojoules of a multiplication with its addition."""
        return float(sum(_picojoules()["multiply_add"][self.arithmetic]))

    def __call__(self, name: str, code: Code) -> float:
        """Return the energy."""
        read = _picojoules()["read"][self.memory] / 32
        return float(_at(self.positions, name) * sum(_sizes(code)) * self.multiply_add + ideal_bits(code) * read)


@final
@dataclass(frozen=True)
class Time(Cost):
    """Seconds for one input, from a table of what was measured: the innermost codes run one after the other.

    Between two entries time is linear in the multiply-adds; below the first it is the first, for a call has a price of
    its own; above the last it goes on as between the last two, or in proportion where there is one alone.

    Args:
        measured: seconds by the multiply-adds of one call.
        positions: how often a tensor is applied to one input.

    Raises:
        PlanError: for an empty table, or entries that are not above 0.

    >>> from laconic.format.codes import DenseCode
    >>> Time({10: 2e-6, 30: 4e-6})("w", DenseCode.of(np.zeros((4, 5))))
    3e-06
    """

    measured: Mapping[int, float]
    positions: Positions = 1

    def __post_init__(self) -> None:
        entries = [*self.measured.keys(), *self.measured.values()]
        if not entries or not all(0 < entry < np.inf for entry in entries):
            raise PlanError(f"measured maps multiply-adds above 0 to seconds above 0, not {dict(self.measured)}")

    def __call__(self, name: str, code: Code) -> float:
        """Return the time; a code without elements is not run."""
        return sum(self._interpolated(_at(self.positions, name) * size) for size in _sizes(code) if size)

    @staticmethod
    def of_profile(
        profile: Profile, positions: Positions = 1, batch: int = 1, setting: Setting | None = None
    ) -> "ProfiledTime":
        """Return the cost that a machine is known by; arguments as `ProfiledTime`."""
        return ProfiledTime(profile, positions, batch, setting)

    def _interpolated(self, operations: int) -> float:
        """Return the seconds of one call."""
        counts = sorted(self.measured)
        if operations <= counts[-1]:
            return float(np.interp(operations, counts, [self.measured[count] for count in counts]))
        most, before = counts[-1], counts[-2] if len(counts) > 1 else 0
        slope = (self.measured[most] - self.measured.get(before, 0.0)) / (most - before)
        return self.measured[most] + max(slope, 0.0) * (operations - most)


@final
@dataclass(frozen=True)
class ProfiledTime(Cost):
    """Seconds for one input on a machine: of each layer that runs (`laconic.csteps.layers`) the best time there.

        C(Θ) = Σ over layers of Θ   min over layout, tile, threads   seconds(layer, layout, tile, threads)

    Args:
        profile: of the machine; None stands for one that is not named yet, and can price nothing.
        positions: how often a tensor is applied to one input, or how it is used, with groups and calls.
        batch: inputs that are run together.
        setting: of all layers; the best of each unless told.

    Raises:
        PlanError: for a batch below 1.

    >>> from laconic.csteps.profile import Device
    >>> from laconic.format.codes import DenseCode
    >>> profile = Profile("toy", "c", "1", (1,), device=Device(call=1e-6, multiply_add=1e-9, byte=0.0, cache=1024))
    >>> round(1e6 * Time.of_profile(profile, {"w": 2})("w", DenseCode.of(np.zeros((10, 50)))), 6)
    2.0
    """

    profile: Profile | None
    positions: Positions = 1
    batch: int = 1
    setting: Setting | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise PlanError(f"batch is a number of inputs from 1 on, not {self.batch}")

    def __call__(self, name: str, code: Code) -> float:
        """Return the time; a tensor of one axis is added to what a layer writes, and has none of its own.

        Raises:
            PlanError: when there is no profile, or nothing is known of the tensor.
        """
        if self.profile is None:
            raise PlanError(f"{name}: a cost in time is that of a machine; name its profile: --target FILE, which "
                            "laconic profile -o FILE writes")  # fmt: skip
        layers = layers_of(code, use_of(self.positions, name), as_stored=self.profile.weights == "stored")
        return predicted(layers, self.profile, self.batch, self.setting)


def use_of(positions: Positions, name: str) -> Use:
    """Return how the tensor ``name`` is used.

    Raises:
        PlanError: when nothing is known of it.
    """
    if isinstance(positions, int):
        return Use(positions)
    if name not in positions:
        raise PlanError(f"{name}: positions say nothing of this tensor; they name {', '.join(positions) or 'none'}")
    use = positions[name]
    return Use(use) if isinstance(use, int) else use


def _sizes(code: Code) -> list[int]:
    """Return the number of elements of each innermost code."""
    inner = [part for part in code.streams().values() if isinstance(part, Code)]
    return [size for part in inner for size in _sizes(part)] if inner else [code.size]


def _at(positions: Positions, name: str) -> int:
    """Return how often the tensor ``name`` is applied to one input."""
    return use_of(positions, name).positions


@cache
def _picojoules() -> dict[str, Any]:
    """Return the figures that are shipped with the package."""
    return tomllib.loads(resources.files("laconic.csteps").joinpath("energy.toml").read_text(encoding="utf-8"))
