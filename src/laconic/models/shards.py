"""Tensors in several files as one mapping: each is read when it is asked for, and one file is open at a time."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import final

from torch import Tensor


@final
class Shards(Mapping[str, Tensor]):
    """The tensors of several files.

    Args:
        places: the file of each tensor, by its name.
        reader: gives the tensors of a file by name.
    """

    def __init__(self, places: Mapping[str, Path], reader: Callable[[Path], Mapping[str, Tensor]]) -> None:
        self._places, self._reader = dict(places), reader
        self._open: tuple[Path, Mapping[str, Tensor]] | None = None

    def __getitem__(self, name: str) -> Tensor:
        path, there = self._places[name], self._open  # read once: other threads may open another file meanwhile
        if there is None or there[0] != path:
            there = self._open = path, self._reader(path)
        return there[1][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
