"""Several tensors under one constraint, or each under its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from laconic import interrupts
from laconic.csteps.compression import Codes, Compression
from laconic.format.codes import Code
from laconic.models.params import Params
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class Joint(Compression):
    """One feasible set over all the tensors of a row: one codebook, one κ. Without it each tensor has its own.

        min Σ_t ‖w_t − Δ_t(Θ)‖²   with one Θ for all tensors t

    Args:
        of: the compression that takes the tensors together.

    >>> import torch
    >>> from laconic import AdaptiveCodebook
    >>> codes = project(Joint(AdaptiveCodebook(1)), {"a": torch.tensor([1.0]), "b": torch.tensor([3.0])})
    >>> codes["a"].decompress(), codes["b"].decompress()
    (array([2.], dtype=float32), array([2.], dtype=float32))
    """

    of: Compression

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Hand all tensors to the inner compression at once."""
        return self.of.project(weights, metrics, warm)

    def scaled(self, factor: float) -> Compression:
        """Scale the inner compression."""
        return Joint(self.of.scaled(factor))

    def among(self, points: Params, metrics: Metrics | None = None) -> Compression:
        """Tell the inner compression."""
        return Joint(self.of.among(points, metrics))

    def beside(self, codes: Codes) -> Compression:
        """Tell the inner compression."""
        return Joint(self.of.beside(codes))

    @property
    def counts_others(self) -> bool:
        """Whether the inner compression does."""
        return self.of.counts_others

    def relaxed(self, codes: Codes) -> Mapping[tuple[str, ...], Compression]:
        """Return those of the inner compression."""
        return {names: Joint(compression) for names, compression in self.of.relaxed(codes).items()}

    @property
    def annealed(self) -> bool:
        """Whether the inner compression's price is."""
        return self.of.annealed

    def penalty(self, codes: Codes) -> float:
        """Return the inner compression's."""
        return self.of.penalty(codes)

    @property
    def assigns_each_weight_alone(self) -> bool:
        """Whether the inner compression does."""
        return self.of.assigns_each_weight_alone


def project(
    compression: Compression, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None
) -> dict[str, Code]:
    """Project each tensor by itself, or all together where ``compression`` is `Joint`. Arguments as `project`'s."""
    codes: dict[str, Code] = {}
    for names in together(compression, weights):
        interrupts.check()
        warm_codes = {name: warm[name] for name in names if name in warm} if warm else None
        codes.update(compression.project({name: weights[name] for name in names}, metrics, warm_codes or None))
    return codes


def together(compression: Compression, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of tensors that ``compression`` takes at a time: all of them where it is `Joint`.

    >>> from laconic import Lossless
    >>> together(Joint(Lossless()), ["a", "b"]), together(Lossless(), ["a", "b"])
    ([('a', 'b')], [('a',), ('b',)])
    """
    return [tuple(names)] if isinstance(compression, Joint) else [(name,) for name in names]
