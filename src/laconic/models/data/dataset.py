"""A data set that is ready to train on: inputs and targets in memory, cut into splits and batches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from laconic.errors import DataError
from laconic.models.data.augmentation import Augment


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Preprocessed inputs and targets by split.

    Args:
        name: of the data set.
        splits: "train", "validation", "test" → inputs and targets, one row per sample.
        classes: how many classes the targets name; 0 when they are no labels.
        preprocessing: what made inputs of pixels, by name.
        augment: applied to the inputs of training batches.

    Raises:
        DataError: when inputs and targets of a split differ in number.
    """

    name: str
    splits: Mapping[str, tuple[Tensor, Tensor]]
    classes: int = 0
    preprocessing: str = ""
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for split, (inputs, targets) in self.splits.items():
            if len(inputs) != len(targets):
                raise DataError(f"{self.name}, {split}: {len(inputs)} inputs, but {len(targets)} targets")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input: (channels, height, width) for images."""
        inputs, _ = next(iter(self.splits.values()))
        return tuple(inputs.shape[1:])

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of split ``name``.

        Raises:
            DataError: when the data set has no such split.
        """
        if name not in self.splits:
            raise DataError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def batches(self, split: str, seed: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Return the batches of one pass; the last one may be smaller.

        Training batches are shuffled, and augmented, by a generator made from ``seed`` alone; those of other splits
        come in order, as views.

        Args:
            split: "train", "validation" or "test".
            seed: of order and augmentation.
            size: samples per batch.

        Raises:
            DataError: when the data set has no such split or ``size`` is not positive.
        """
        if size < 1:
            raise DataError(f"a batch holds at least one sample, not size={size}")
        inputs, targets = self.split(split)
        if split == "train":
            return _shuffled(inputs, targets, torch.Generator().manual_seed(seed), size, self.augment)
        return zip(torch.split(inputs, size), torch.split(targets, size), strict=True)

    def to(self, device: torch.device | str) -> "Dataset":
        """Return the same data set with all tensors on ``device``; the batches hold the same samples."""
        moved = {name: (inputs.to(device), targets.to(device)) for name, (inputs, targets) in self.splits.items()}
        return replace(self, splits=moved)


def _shuffled(
    inputs: Tensor, targets: Tensor, generator: torch.Generator, size: int, augment: Augment | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches in a random order; rows are gathered a whole batch at a time."""
    order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    for rows in torch.split(order, size):
        chosen = inputs.index_select(0, rows)
        yield (chosen if augment is None else augment(chosen, generator)), targets.index_select(0, rows)
