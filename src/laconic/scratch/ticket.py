"""The noun: a sparse network that was trained with its mask fixed, and when it was at its best on validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.api import compress
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import Support, sparse
from laconic.format.codes import Code, DenseCode
from laconic.models.params import Params, to_numpy
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.result import Result
from laconic.scratch.masks import Masks, density


@final
@dataclass(frozen=True, eq=False)
class Ticket:
    """A network of which some weights are 0, trained without them.

    Args:
        level: how often the dense network was pruned; 0 for that network.
        masks: which weights stay.
        weights: after the last epoch.
        best: after the epoch of the least validation loss.
        at: that epoch, from the beginning of the first training on.
        losses: on validation, before the first epoch and after each.
        begun: epochs of the first training that it did not repeat.
    """

    level: int
    masks: Masks
    weights: Params
    best: Params
    at: int
    losses: tuple[float, ...]
    begun: int = 0

    @property
    def density(self) -> float:
        """Share of the weights that stay, of those that are pruned at all."""
        return density(self.masks)

    def result(self, metadata: Mapping[str, str] | None = None, *, early: bool = False) -> Result:
        """Return the file: what stays, bit by bit, and where it is.

        Args:
            metadata: text to store in it.
            early: whether it is of the ``best`` weights.
        """
        pruned = {fnmatch_escape(name): mask for name, mask in self.masks.items() if not mask.all()}
        rows = {name: KeepLargest(support=Support.where({name: mask})) for name, mask in pruned.items()}
        return compress(self.best if early else self.weights, Plan(rows), effort="direct", metadata=metadata)

    def packed(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return figures, as JSON says them, and tensors: of a pruned weight what stays, in row-major order."""
        tensors = {f"mask/{name}": torch.from_numpy(mask.view(np.uint8)) for name, mask in self.masks.items()}
        for group, params in (("last", self.weights), ("best", self.best)):
            for name, tensor in params.items():
                stays = self.masks.get(name)
                own = tensor.cpu()
                tensors[f"{group}/{name}"] = own if stays is None else own.reshape(-1)[torch.from_numpy(stays)]
        shapes = {name: list(self.weights[name].shape) for name in self.masks}
        figures = {"level": self.level, "at": self.at, "begun": self.begun, "losses": list(self.losses)}
        return {**figures, "names": list(self.weights), "shapes": shapes, "density": self.density}, tensors

    @classmethod
    def unpacked(cls, figures: Mapping[str, Any], tensors: Params) -> "Ticket":
        """Return the ticket that `packed` was called of."""
        masks = {name: tensors[f"mask/{name}"].numpy().astype(bool) for name in figures["shapes"]}

        def whole(group: str, name: str) -> Tensor:
            own, mask = tensors[f"{group}/{name}"], masks.get(name)
            if mask is None:
                return own
            zeros = torch.zeros(len(mask), dtype=own.dtype)
            return zeros.masked_scatter(torch.from_numpy(mask), own).view(figures["shapes"][name])

        last, best = ({name: whole(group, name) for name in figures["names"]} for group in ("last", "best"))
        return cls(figures["level"], masks, last, best, figures["at"], tuple(figures["losses"]), figures["begun"])


def masked_codes(params: Params, masks: Masks) -> dict[str, Code]:
    """Return codes of a network's tensors in their order: of a masked one what stays, of others all."""
    pruned = {name: params[name] for name, mask in masks.items() if not mask.all()}
    sparsely = sparse(pruned, masks, {}, Lossless(), None)
    return {name: sparsely.get(name) or DenseCode.of(to_numpy(tensor)) for name, tensor in params.items()}
