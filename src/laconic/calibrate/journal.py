"""What passes over a network have decided, weight after weight, in a folder: a run that is killed goes on from there.

A pass is a function of the network, the samples and what it begins with. So a record is found by a digest of these and
by its place in the pass; what has been decided need only be told again, and nothing is solved for it. Records are
written all at once, one after the other, so that a killed process leaves the first few of a pass, each of them whole.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import Tensor

from laconic.calibrate.recursion import Recursion
from laconic.calibrate.rounded import Rounded
from laconic.errors import DataError
from laconic.format.codes.scales import Scales
from laconic.models.params import Params, to_numpy, to_torch
from laconic.models.states import job_text, read_state, require_same, write_state
from laconic.training.batches import Batch, tensors_in

_LOG = logging.getLogger(__name__)
_KIND = "calibration journal 2"
_WHAT = "journal of a calibration"
_JOB = "job.safetensors"
_RECORDS = "pass-*.safetensors"
_LEFT = ".*.tmp"
"""What a killed process was writing."""


@final
@dataclass(frozen=True, eq=False)
class Chosen:
    """What has been decided of one weight.

    Args:
        rounded: its integers.
        counts: how often each size occurs in each class and of each parity, shape (classes, parities, sizes).
        changed: the tensors that change: the weight itself, and the bias that follows, if one does.
        level: the water level of the outputs that it was quantized at.
    """

    rounded: Rounded
    counts: np.ndarray
    changed: Mapping[str, Tensor]
    level: float


@final
@dataclass(frozen=True)
class Journal:
    """The folder of one job; it comes into being with the first record.

    Args:
        folder: whose files are all the journal's own.
        job: what must be the same when the run goes on.
    """

    folder: Path
    job: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, job: Mapping[str, str], params: Params, batches: Sequence[Batch]) -> "Journal":
        """Return the journal in ``folder``, or a new one where there is none.

        Args:
            folder: which need not be there.
            job: whatever must be the same beside what follows, and the versions of packages.
            params: the network.
            batches: its samples.

        Raises:
            DataError: when the folder is a file, or has other files, or is of another job; it says what differs.
        """
        job = {**job, **_identity(params, batches)}
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file, and no {_WHAT}, which is a folder: remove it, or name another")
        if (folder / _JOB).exists():
            try:
                _, metadata = read_state(folder / _JOB, _KIND, _WHAT)
            except DataError as error:
                raise DataError(f"{folder} cannot be gone on from, remove the folder: {error}") from error
            require_same(folder, metadata["job"], job, "folder")
        elif folder.exists() and (others := {*folder.iterdir()} - {*folder.glob(_LEFT)}):
            raise DataError(f"{folder} is no {_WHAT}: it has {min(others).name}, and no {_JOB}. Name another folder")
        return cls(folder, job)

    @property
    def decided(self) -> int:
        """How many weights of all passes have a record."""
        return len([*self.folder.glob(_RECORDS)])

    def records(
        self, level: float, budget: float, costs: np.ndarray, how: Recursion, ratios: Mapping[str, float]
    ) -> "Records":
        """Return the records of the pass that begins with these, arguments of `laconic.calibrate.sequence.passed`."""
        begun = (job_text(self.job), level, budget, how, sorted(ratios.items()), costs.dtype.name, costs.shape)
        return Records(self, sha256(repr(begun).encode() + costs.tobytes()).hexdigest())


@final
@dataclass(frozen=True)
class Records:
    """What one pass has decided.

    Args:
        journal: it stands in.
        digest: of what the pass begins with.
    """

    journal: Journal
    digest: str

    def read(self, names: Sequence[str]) -> list[Chosen]:
        """Return what has been decided of the first few weights.

        Where a record is damaged, this is said, and those after it are removed with it.

        Args:
            names: of all weights, in order.
        """
        found = list[Chosen]()
        for place, name in enumerate(names):
            path = self._path(place)
            if not path.exists():
                break
            try:
                found.append(self._record(place, name))
            except DataError:
                _LOG.warning("%s is damaged: %s and what comes after it are decided again", path, name)
                for later in range(place, len(names)):
                    self._path(later).unlink(missing_ok=True)
                break
        return found

    def write(self, place: int, name: str, chosen: Chosen) -> None:
        """Keep what has been decided of a weight.

        Args:
            place: of the weight.
            name: of the weight.
            chosen: what has been decided.

        Raises:
            OSError: when it cannot be written; records before it stay.
        """
        journal, path = self.journal, self._path(place)
        rounded, where = chosen.rounded, np.flatnonzero(chosen.counts)
        arrays = {
            "levels": rounded.levels, "symbols": rounded.scales.symbols, "steps": rounded.steps,
            "finer": rounded.finer, "where": where, "counts": chosen.counts.reshape(-1)[where],
        }  # fmt: skip
        tensors = {key: to_torch(array) for key, array in arrays.items()}
        biases = {"bias " + key: tensor for key, tensor in chosen.changed.items() if key != name}
        outline = {
            "shape": rounded.shape, "dtype": rounded.dtype, "mode": rounded.scales.mode,
            "classes": rounded.scales.classes, "turned": rounded.scales.turned, "counts": chosen.counts.shape,
            "level": chosen.level,
        }  # fmt: skip
        try:
            if not (journal.folder / _JOB).exists():
                write_state(journal.folder / _JOB, _KIND, {}, {"job": job_text(journal.job)})
            write_state(path, _KIND, tensors | biases, {"outline": json.dumps(outline), **self._marks(place, name)})
        except OSError as error:
            if error.errno is None or error.strerror is None:
                raise
            said = f"{error.strerror}; what was decided before is kept: make room, and resume"
            raise OSError(error.errno, said, error.filename) from error

    def _path(self, place: int) -> Path:
        return self.journal.folder / f"pass-{self.digest[:16]}-{place:05d}.safetensors"

    def _marks(self, place: int, name: str) -> dict[str, str]:
        """Return what tells a record from all others."""
        return {"pass": self.digest, "place": str(place), "weight": name}

    def _record(self, place: int, name: str) -> Chosen:
        """Return a record.

        Raises:
            DataError: when it is damaged, or not of this place.
        """
        path = self._path(place)
        tensors, metadata = read_state(path, _KIND, f"record of a {_WHAT}")
        if self._marks(place, name).items() - metadata.items():
            raise DataError(f"{path} is a record of another weight than {name}")
        outline: dict[str, Any] = json.loads(metadata["outline"])
        tensors = {key: tensor.clone() for key, tensor in tensors.items()}  # the file is let go
        arrays = {key: to_numpy(tensor) for key, tensor in tensors.items() if not key.startswith("bias ")}
        shape = tuple(outline["shape"])
        scales = Scales(shape, outline["mode"], arrays["symbols"], outline["classes"], turned=outline["turned"])
        rounded = Rounded(shape, outline["dtype"], scales, arrays["steps"], arrays["finer"], arrays["levels"])
        counts = np.zeros(outline["counts"], np.int64)
        counts.reshape(-1)[arrays["where"]] = arrays["counts"]
        biases = {key.removeprefix("bias "): tensor for key, tensor in tensors.items() if key.startswith("bias ")}
        changed = {name: to_torch(rounded.weights(), fresh=True), **biases}
        return Chosen(rounded, counts, changed, float(outline["level"]))


def remove(folder: Path) -> None:
    """Remove a journal, and nothing else that its folder may have; the job last, that it stays one until then."""
    if not folder.is_dir():
        return
    for path in [*folder.glob(_RECORDS), *folder.glob(_LEFT), folder / _JOB]:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # somebody has put something there
        folder.rmdir()


def _identity(params: Params, batches: Sequence[Batch]) -> dict[str, str]:
    """Return what makes any pass over a network another one, whatever was asked."""
    return {
        "the SHA-256 of the weights": _digest(params.items()),
        "the SHA-256 of the samples": _digest(("", tensor) for tensor in tensors_in(batches)),
        **{f"the version of {name}": _version(name) for name in ("laconic", "numpy", "torch")},
    }


def _digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the SHA-256 of tensors with their names."""
    whole = sha256()
    for name, tensor in tensors:
        array = to_numpy(tensor)
        whole.update(f"{name} {array.dtype} {array.shape} {tensor.device.type}".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def _version(name: str) -> str:
    """Return the version of a package, if it is installed as one."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not known"
