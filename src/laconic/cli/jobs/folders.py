"""Folders of models that commands write: the weights as one file, and what goes beside it."""

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from laconic import __version__
from laconic.cli.console import Output
from laconic.cli.options import require_output
from laconic.errors import DataError, listed
from laconic.format import container, enclosed
from laconic.format.coding import FLOATS
from laconic.format.enclosed import FILE, found
from laconic.format.files import replace_folder, require_replaceable
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.models.cards import Card, base_of
from laconic.models.companions import companions, lost, pack
from laconic.quantize.budget import Budget
from laconic.result import Result

_MODEL = ".index.json"


@final
@dataclass(frozen=True)
class Beside:
    """What goes beside the weights.

    Args:
        source: the folder of the model.
        code: whether its Python files go along.
        command: that is running, for the page on the model.
        requantized: whether the weights are those that quantized ones of the folder stand for.
    """

    source: Path
    code: bool
    command: str
    requantized: bool = False

    @classmethod
    def of(cls, weights: Path, output: Path, *, code: bool, command: str, requantized: bool = False) -> "Beside | None":
        """Return what goes beside weights that become a folder: those of a folder, or an index, do, unless into a file.

        Args:
            weights: the checkpoint.
            output: what is written; it is a file where it ends in `.lac`.
            code: whether Python files go along.
            command: that is running.
            requantized: whether what is quantized in the folder is not so in what is written.

        Raises:
            DataError: for an output in the folder of the model, or one without a name.
        """
        if output.suffix.lower() == ".lac" or not (weights.is_dir() or weights.name.endswith(_MODEL)):
            return None
        source = weights if weights.is_dir() else weights.parent
        if output.name in ("", "..") or output.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{output}: what is written is a folder of its own, outside {source}; name it")
        return cls(source, code, command, requantized)

    def told(self, say: Output) -> None:
        """Say what stays behind."""
        _, behind = companions(self.source, code=self.code)
        code = " (Python files go along with --with-code)" if any(name.endswith(".py") for name in behind) else ""
        say.note(*([f"{self.source.name}: not copied: {listed(behind)}{code}"] if behind else []))

    def fill(self, folder: Path, result: Result, lines: Sequence[str]) -> None:
        """Put all of it into a folder that has the weights.

        Args:
            folder: that is written.
            result: of compression.
            lines: what there is to say of its quality.
        """
        base_bytes, size = int(result.metadata.get(REFERENCE_BYTES, 0)), (folder / FILE).stat().st_size
        weights = result.fitted.weights if result.fitted else 0
        bits = 8 * size / weights if weights else None
        card = Card(base_of(self.source), size, base_bytes, bits, tuple(lines), self.command, __version__)
        with container.open(folder / FILE, sys.maxsize) as file:
            elements = Counter[str]()
            for row in file.charges()[:-1]:
                elements[row.dtype] += math.prod(row.shape) * (row.dtype in FLOATS)
        dtype = elements.most_common(1)[0][0] if elements else "float32"
        text = card.text(self.source)
        pack(self.source, folder, text, __version__, dtype, code=self.code, requantized=self.requantized)


@final
@dataclass(frozen=True)
class Written:
    """The file, and whether it may be there already.

    Args:
        path: of the file, or of the folder that it is in.
        force: it may be there.
        resume: it may be there, if it is what would be written.
        beside: what goes beside it, where it is in a folder.
    """

    path: Path
    force: bool
    resume: bool = False
    beside: Beside | None = None

    @property
    def around(self) -> int:
        """The bytes around the `.lac` file that budgets count."""
        return enclosed.BEFORE if self.beside else 0

    def counted(self, budget: Budget | None) -> Budget | None:
        """Return a budget that counts the bytes around the file."""
        return budget and replace(budget, around=self.around)

    def require(self, say: Output, checkpoint: Path) -> None:
        """Check before the work that it can be written, and say what stays behind.

        Args:
            say: how the command talks.
            checkpoint: what a run would go on from.

        Raises:
            OutputExists: when it is there and may not be.
            DataError: when it has the suffix of another format.
        """
        force = self.force or (self.resume and checkpoint.exists())
        if self.beside:
            require_replaceable(self.path, lost, force=force)
            self.beside.told(say)
        else:
            require_output(self.path, ".lac", force=force)

    def write(self, result: Result, lines: Sequence[str] = ()) -> None:
        """Write, if it is not there as it would be.

        Args:
            result: of compression.
            lines: what there is to say of its quality.
        """
        if self.resume and not self.force:
            where, start = found(self.path)
            if where.is_file() and where.read_bytes()[start:] == container.dumps(result.codes, result.metadata):
                return
        with self.placed(result, lines) as path:
            within = self.beside is not None
            container.write(path, result.codes, result.metadata, force=self.force, within_safetensors=within)

    @contextmanager
    def placed(self, result: Result, lines: Sequence[str] = ()) -> Iterator[Path]:
        """Give the place of the file, in a folder that is filled and put into its place when the block ends.

        Args:
            result: whose weights are written.
            lines: what there is to say of its quality.
        """
        if self.beside is None:
            yield self.path
            return
        with replace_folder(self.path, lost, force=self.force) as folder:
            yield folder / FILE
            self.beside.fill(folder, result, lines)
