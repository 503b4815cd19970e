"""All that there is to say of one file, as one value: what the page shows, and what `--json` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

from laconic.insight.anatomy import Piece, classes
from laconic.insight.comparison import Change, Filters, plain
from laconic.insight.gap import Gap
from laconic.insight.ledger import Ledger
from laconic.insight.stages import Stage


@final
@dataclass(frozen=True)
class Dot:
    """A file, or what stands beside one, in a plane.

    Args:
        label: what it is called.
        x: where it is.
        y: likewise.
        kind: "file" for the one that the page is about, "other" for further files, else the name of a yardstick.
    """

    label: str
    x: float
    y: float
    kind: str


@final
@dataclass(frozen=True)
class Plane:
    """Files beside a bound.

    Args:
        title: of the figure.
        x: what lies along the horizontal axis, with its unit.
        y: along the vertical one.
        curves: places (x, y) of each curve by its name.
        dots: the files.
        logarithmic: whether the vertical axis is.
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    dots: tuple[Dot, ...]
    logarithmic: bool = False


@final
@dataclass(frozen=True)
class Harm:
    """What a layer by itself does to the outputs.

    Args:
        layer: its path in the module.
        names: of its tensors that are not as they were.
        distance: of the outputs, with these tensors as in the file and all others as in the checkpoint.
        share: of the sum over all layers.
    """

    layer: str
    names: tuple[str, ...]
    distance: float
    share: float


@final
@dataclass(frozen=True)
class Mend:
    """A row of a plan that would mend a layer.

    Args:
        name: of the weight.
        row: the line of TOML.
        bytes: of the file with this weight so, and all others as they are.
        distance: of its outputs.
    """

    name: str
    row: str
    bytes: int
    distance: float


@final
@dataclass(frozen=True)
class Damage:
    """Why quality fell.

    Args:
        unit: of distances.
        samples: that they were measured on, which calibration holds out.
        distance: of the outputs of the file from the checkpoint's.
        harms: of all layers that have changed, the worst first.
        mends: of the worst weights, likewise.
        together: bytes and distance with all of these.
        command: that makes such a file, with a plan of these rows; a larger one where there are none; "" of weights
            that are on no grids, which rows do not refine.
        plan: the document with these rows, TOML.
    """

    unit: str
    samples: int
    distance: float
    harms: tuple[Harm, ...]
    mends: tuple[Mend, ...]
    together: tuple[int, float] | None
    command: str
    plan: str = ""


@final
@dataclass(frozen=True)
class Cost:
    """What running the network takes.

    Args:
        what: is counted, with its unit.
        before: with the weights of the checkpoint, dense.
        after: as the file has them.
        how: it was found out: "counted", or how calls were timed.
    """

    what: str
    before: float
    after: float
    how: str


@final
@dataclass(frozen=True)
class Path:
    """A training run.

    Args:
        steps: numbers by name, of each.
        diagnosis: in words.
    """

    steps: tuple[Mapping[str, float | None], ...]
    diagnosis: tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class Report:
    """All that there is to say of a file.

    Args:
        file: its name.
        metadata: that it has.
        account: its ledger.
        pieces: its tensors.
        gap: how far it is above R(D), where calibration has measured that.
        stages: from the checkpoint to it, where the size of the checkpoint is known.
        changes: what became of each tensor, where there is a checkpoint.
        snr: of all weights together, dB.
        filters: of the first layer.
        planes: files beside bounds.
        damage: why quality fell, where there are data.
        costs: of running it, where the network is known.
        path: of training, where there is a log.
        missing: parts that are empty → what would fill them.
    """

    file: str
    metadata: Mapping[str, str]
    account: Ledger
    pieces: tuple[Piece, ...]
    gap: Gap | None = None
    stages: tuple[Stage, ...] = ()
    changes: tuple[Change, ...] = ()
    snr: float | None = None
    filters: Filters | None = None
    planes: tuple[Plane, ...] = ()
    damage: Damage | None = None
    costs: tuple[Cost, ...] = ()
    path: Path | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def zeros(self) -> float:
        """Share of the elements of all tensors that are 0."""
        elements = sum(piece.size for piece in self.pieces)
        return sum(piece.zeros for piece in self.pieces) / elements if elements else 0.0

    @property
    def ideal(self) -> float:
        """Bytes of all tensors by the entropy of their symbols and the plain size of their values."""
        return sum(piece.entry.entropy_bytes for piece in self.pieces)

    @property
    def header(self) -> int:
        """Bytes of names, lengths and checksums."""
        return self.account.entries[-1].bytes

    @property
    def harm(self) -> Mapping[str, float]:
        """Share of the damage by the name of each tensor that has some."""
        return {name: one.share for one in (self.damage.harms if self.damage else ()) for name in one.names}

    def record(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON; images are left out."""
        account = self.account.records()
        return {
            "file": self.file,
            "metadata": dict(self.metadata),
            **{key: value for key, value in account.items() if key != "tensors"},
            "header_bytes": self.header,
            "ideal_bytes": self.ideal,
            "zeros": self.zeros,
            "tensors": [_told(piece) for piece in self.pieces],
            "classes": [asdict(one) for one in classes(self.pieces)],
            "meter": self.gap and self.gap.record(),
            "stages": [asdict(one) for one in self.stages],
            "changes": [asdict(one) for one in self.changes],
            "snr": self.snr,
            "filters": plain(self.filters),
            "planes": [asdict(one) for one in self.planes],
            "damage": self.damage and asdict(self.damage),
            "costs": [asdict(one) for one in self.costs],
            "path": self.path and {"steps": list(self.path.steps), "diagnosis": list(self.path.diagnosis)},
            "missing": dict(self.missing),
        }


def _told(piece: Piece) -> dict[str, Any]:
    """Return a tensor as plain values."""
    entry = asdict(piece.entry) | {"shape": list(piece.entry.shape)}
    return {
        **entry, "beside_bytes": piece.beside, "coded_bytes": piece.coded, "bits": piece.bits, "numbers": piece.numbers,
        "zeros": piece.zeros, "constant": piece.constant,
    }  # fmt: skip


def grouped(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return tensors by the layer that they are of: the path of the module before the last point.

    >>> grouped(["conv.weight", "conv.bias", "scale"])
    {'conv': ('conv.weight', 'conv.bias'), 'scale': ('scale',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        layer = name.rpartition(".")[0] or name
        found[layer] = (*found.get(layer, ()), name)
    return found
