"""Whose a number is, among launches that share a folder: a file that can be made but once, with a mark in it.

The mark is drawn anew by each launch. Whoever makes the file has the number, until it ends, or another takes it on
purpose, as one must after a run that was killed and could not remove it. Who finds another mark stops before it writes.
"""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import final

from laconic.errors import DataError, OutputExists
from laconic.format.files import replace_file


@final
@dataclass(frozen=True)
class Claim:
    """A number that a launch has.

    Args:
        path: the file.
        mark: of the launch.
    """

    path: Path
    mark: str

    @classmethod
    def made(cls, path: Path, *, over: bool) -> "Claim":
        """Return a claim after its file has been made, and its folder where that is missing.

        Args:
            path: the file.
            over: take the number from whoever has it.

        Raises:
            OutputExists: when another launch has it.
        """
        claim = cls(path, uuid.uuid4().hex)
        try:
            with replace_file(path, force=over) as file:  # of two that make it one succeeds
                file.write(claim.mark.encode())
        except OutputExists:
            raise OutputExists(
                f"{path} says that another launch of this number runs, or was killed: two launches need numbers of "
                "their own; if none runs, --force takes the number, and --resume goes on"
            ) from None
        return claim

    def require_held(self) -> None:
        """Raise `DataError` when another launch has taken the number since."""
        if not self._is_held():
            raise DataError(
                f"another launch has taken the number of this one ({self.path}), which stops here and writes nothing "
                "more: two launches need numbers of their own"
            )

    def release(self) -> None:
        """Give the number back, if it is still held."""
        if self._is_held():
            self.path.unlink(missing_ok=True)

    def _is_held(self) -> bool:
        """Say whether the file has the mark of this launch."""
        try:
            return self.path.read_text() == self.mark
        except FileNotFoundError:
            return False
