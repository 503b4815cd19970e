"""A machine as laconic knows it: what layers take there, measured or by a model, and the best way to run each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import NamedTuple, final

import numpy as np

from laconic.csteps.layers import FLOAT, PRODUCTS, Layer
from laconic.errors import PlanError

LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "dense": ("rows", "columns", "tiles"),
    "convolution": ("rows", "columns", "tiles", "channels_last"),
    "grouped": ("rows", "channels_last"),
}
"""How a weight can lie in memory: as it is, one row of its matrix W after the other; Wᵀ; W in blocks of rows, each of
which meets all inputs before the next; with the channels innermost, which are those of the inputs then, too."""

_NEIGHBOURS = 4
"""Measured layers that correct what the model says of another."""

_DOUBT = 0.3
"""Weight of no correction beside those of the neighbours, which have 1 over their squared distance in octaves."""

_VECTOR = 16
"""Numbers of float32 that a processor works on at once, with AVX-512; a part of so many costs as much as all."""


class Setting(NamedTuple):
    """How a layer is run.

    Args:
        layout: of its weight, of `LAYOUTS`.
        tile: rows of a block, where it lies in tiles; else 0.
        threads: that share the work.
    """

    layout: str = "rows"
    tile: int = 0
    threads: int = 1


class Best(NamedTuple):
    """The setting of least predicted time, and this time in seconds for one input."""

    setting: Setting
    seconds: float


@final
@dataclass(frozen=True)
class Point:
    """A measurement: a layer in a setting took so many seconds, for a batch of so many inputs."""

    layer: Layer
    setting: Setting
    batch: int
    seconds: float


@final
@dataclass(frozen=True)
class Device:
    """A machine by a model: seconds = calls · call + multiply-adds · multiply_add + bytes moved · byte.

    One core does one thing after the other; nothing overlaps. What is in use stays in the cache where it fits, and is
    moved again each time where it does not. In rows, all of W is in use at each position: W beyond the cache is moved
    once for each. In columns, each column of W meets its input at all positions: W is moved once, and outputs that do
    not fit are read and written once for each column. In tiles, each block of W meets all positions: it is moved once
    if it fits, and inputs that do not fit beside it once for each block.

    Args:
        call: seconds of a call.
        multiply_add: seconds.
        byte: seconds of a byte that is moved from or to beyond the cache.
        cache: bytes.
    """

    call: float
    multiply_add: float
    byte: float
    cache: int

    def seconds(self, layer: Layer, setting: Setting, batch: int) -> float:
        """Return the time for ``batch`` inputs."""
        calls = layer.calls * _blocks(layer, setting)
        work = batch * layer.multiply_adds * self.multiply_add
        return calls * self.call + work + self._moved(layer, setting, batch) * self.byte

    def _moved(self, layer: Layer, setting: Setting, batch: int) -> float:
        """Return the bytes that are moved."""
        places = batch * layer.positions
        read, written = FLOAT * places * layer.inputs, FLOAT * places * layer.outputs
        if layer.kind not in PRODUCTS:
            return read + written
        one = FLOAT * (layer.inputs + layer.outputs)
        if setting.layout == "columns":
            again = 1 if written + layer.stored / max(1, layer.columns) <= self.cache else 2 * layer.columns
            return layer.stored + read + written * again
        blocks = _blocks(layer, setting)
        block = layer.stored / blocks
        uses = layer.calls if blocks == 1 and layer.calls > 1 else places
        weights = layer.stored * (1 if block + one <= self.cache else max(1, uses))
        inputs = read * (1 if read + block + one <= self.cache else blocks)
        return weights + inputs + written


def _blocks(layer: Layer, setting: Setting) -> int:
    """Return in how many blocks a layer is run."""
    return -(-layer.outputs // setting.tile) if setting.tile else 1


@final
@dataclass(frozen=True)
class Profile:
    """What a machine takes for layers.

    Args:
        name: of the machine, for people.
        runtime: what runs the network: "torch", "onnxruntime", or a name of a device's own.
        version: of the runtime.
        threads: numbers that can be chosen.
        caches: bytes of each level, the smallest first.
        weights: "float32" where they are decompressed before the network runs, "stored" where they are read as codes.
        session: seconds of a run of the network beside those of its layers.
        points: what was measured; none where there is a device.
        device: the model of a machine that was not measured.

    Raises:
        PlanError: unless there are points or a device, and a number of threads.
    """

    name: str
    runtime: str
    version: str
    threads: tuple[int, ...]
    caches: tuple[int, ...] = ()
    weights: str = "float32"
    session: float = 0.0
    points: tuple[Point, ...] = field(default=(), repr=False)
    device: Device | None = None

    def __post_init__(self) -> None:
        if bool(self.points) == (self.device is not None):
            raise PlanError(f"profile {self.name}: it has either measured layers or the model of a device")
        if self.weights not in ("float32", "stored"):
            raise PlanError(f"profile {self.name}: weights are 'float32' or 'stored', not {self.weights!r}")
        if not self.threads or min(self.threads) < 1:
            raise PlanError(f"profile {self.name}: threads are numbers from 1 on, not {list(self.threads)}")

    def seconds(self, layer: Layer, setting: Setting | None = None, batch: int = 1) -> float:
        """Return the predicted time of a layer for one input of a batch; 0 for a layer of nothing.

        Measured layers are fitted by kind, layout and threads: so many seconds for each call, multiply-add and byte
        (`_features`), none below 0, with the least relative squared error. What the four measured layers nearest in
        shape took beyond what this says of them corrects it: a layer that was measured takes what it took.

        Args:
            layer: of any kind.
            setting: one that the profile knows of this kind; that of least time unless told.
            batch: inputs that are run together.

        Raises:
            PlanError: when it knows nothing of such a layer.
        """
        if setting is None:
            return best(layer, self, batch).seconds
        if not layer.outputs or not layer.inputs:
            return 0.0
        if self.device is not None:
            return self.device.seconds(layer, setting, batch) / batch
        fit = self._fits.get((layer.kind, setting.layout, setting.threads))
        if fit is None:
            known = sorted({key[0] for key in self._fits})
            raise PlanError(
                f"profile {self.name} has measured no {layer.kind} layer with {setting.layout} on {setting.threads} "
                f"threads; it knows {', '.join(known)}. Measure again with laconic profile"
            )
        return fit.seconds(layer, setting, batch) / batch

    def settings(self, layer: Layer) -> tuple[Setting, ...]:
        """Return the settings in which a layer of this kind can be run, in the order in which ties are settled."""
        if self.device is not None:
            layouts = LAYOUTS.get(layer.kind, ("rows",))
            tiles = [2**power for power in range(3, 13) if 2**power < layer.outputs]
            return tuple(
                Setting(layout, tile, threads)
                for layout in layouts
                for tile in (tiles if layout == "tiles" else [0])
                for threads in self.threads
            )
        return tuple(s for s in self._settings.get(layer.kind, ()) if s.tile < layer.outputs)

    @cached_property
    def _settings(self) -> dict[str, tuple[Setting, ...]]:
        """Return the settings that were measured, by kind."""
        found: dict[str, dict[Setting, None]] = {}
        for point in self.points:
            found.setdefault(point.layer.kind, {})[point.setting] = None
        return {kind: tuple(settings) for kind, settings in found.items()}

    @cached_property
    def _fits(self) -> dict[tuple[str, str, int], "_Fit"]:
        """Return what is fitted to the points, by kind, layout and threads."""
        groups: dict[tuple[str, str, int], list[Point]] = {}
        for point in self.points:
            groups.setdefault((point.layer.kind, point.setting.layout, point.setting.threads), []).append(point)
        return {key: _Fit.of(points, self.caches) for key, points in groups.items()}

    @cached_property
    def _known(self) -> dict[tuple[Layer, int], Best]:
        """Return an empty memory of `best`."""
        return {}


def best(layer: Layer, profile: Profile, batch: int = 1) -> Best:
    """Return the layout, tile and threads of least predicted time, which is the time of the layer.

        min over layout, tile, threads   seconds(layer, layout, tile, threads)

    So a price of time in an objective is a price at the best way to run what it is paid for, rank, width and bits being
    chosen together with it. By trial of all, exact. Ties go to the first in `Profile.settings`.

    Raises:
        PlanError: when the profile knows nothing of such a layer.

    >>> device = Device(call=1e-6, multiply_add=1e-9, byte=1e-8, cache=100_000)
    >>> profile = Profile("toy", "c", "1", (1,), device=device)
    >>> best(Layer("dense", 1000, 1000, positions=100), profile).setting
    Setting(layout='tiles', tile=16, threads=1)
    """
    known = profile._known.get((layer, batch))
    if known is not None:
        return known
    settings = profile.settings(layer) or (Setting(threads=profile.threads[0]),)
    found = min((Best(s, profile.seconds(layer, s, batch)) for s in settings), key=lambda best: best.seconds)
    profile._known[layer, batch] = found
    return found


def predicted(layers: Sequence[Layer], profile: Profile, batch: int = 1, setting: Setting | None = None) -> float:
    """Return the seconds of layers that run one after the other, each at its best or in ``setting``, for one input."""
    return math.fsum(profile.seconds(layer, setting, batch) for layer in layers)


@final
@dataclass(frozen=True, eq=False)
class _Fit:
    """A model of measured layers of one kind: `features · coefficients`, corrected by the nearest of them."""

    caches: tuple[int, ...]
    coefficients: np.ndarray
    places: np.ndarray
    beyond: np.ndarray

    @classmethod
    def of(cls, points: Sequence[Point], caches: tuple[int, ...]) -> "_Fit":
        """Return the fit of least relative squared error, no coefficient below 0."""
        seconds = np.array([point.seconds for point in points])
        rows = np.array([_features(p.layer, p.setting, p.batch, caches) for p in points]) / seconds[:, None]
        coefficients = _not_negative(rows, np.ones(len(rows)))
        beyond = -np.log(np.maximum(rows @ coefficients, 1e-3))
        places = np.array([_place(p.layer, p.setting, p.batch) for p in points])
        return cls(caches, coefficients, places, beyond)

    def seconds(self, layer: Layer, setting: Setting, batch: int) -> float:
        """Return the seconds for ``batch`` inputs."""
        told = float(_features(layer, setting, batch, self.caches) @ self.coefficients)
        apart = np.square(self.places - _place(layer, setting, batch)).sum(axis=1)
        nearest = np.argsort(apart, kind="stable")[:_NEIGHBOURS]
        weights = 1 / (apart[nearest] + 1e-6)
        return told * math.exp(float(weights @ self.beyond[nearest]) / float(weights.sum() + _DOUBT))


def _features(layer: Layer, setting: Setting, batch: int, caches: tuple[int, ...]) -> np.ndarray:
    """Return what a time is a sum of, shape (6,): calls, multiply-adds, and bytes.

    Multiply-adds are those of outputs rounded up to `_VECTOR` numbers. Bytes are those of weights, of activations, of
    the windows that a convolution gathers, and of what a block uses beyond the cache before the last.
    """
    blocks, places = _blocks(layer, setting), batch * layer.positions
    rows = (setting.tile or layer.outputs) // layer.groups
    padded = blocks * layer.groups * -(-rows // _VECTOR) * _VECTOR * layer.columns * places
    windows = FLOAT * places * layer.columns * layer.groups * blocks if math.prod(layer.kernel) > 1 else 0
    touched = batch * layer.activations
    beyond = max(0.0, layer.stored / blocks + touched - caches[-2]) if len(caches) > 1 else 0.0
    work = padded if layer.kind in PRODUCTS else 0
    return np.array([layer.calls * blocks, work, layer.stored * layer.calls, touched, windows, beyond])


def _place(layer: Layer, setting: Setting, batch: int) -> np.ndarray:
    """Return where a layer lies among others: logarithms of its sizes, or of its bytes where it is no product."""
    if layer.kind not in PRODUCTS:
        return np.log2([batch * layer.activations])
    sizes = layer.outputs, max(1, layer.columns), layer.groups, batch * layer.positions / layer.calls, setting.tile or 1
    return np.log2([*sizes, layer.calls])


def _not_negative(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return x ≥ 0 that minimises ‖rows · x − wanted‖²: the best of the least-squares solutions of all supports."""
    columns, best_error, found = rows.shape[1], math.inf, np.zeros(rows.shape[1])
    scale = np.maximum(np.abs(rows).max(axis=0), 1e-300)
    for size in range(1, columns + 1):
        for support in map(list, combinations(range(columns), size)):
            x = np.linalg.lstsq(rows[:, support] / scale[support], wanted, rcond=None)[0]
            error = float(np.square(rows[:, support] / scale[support] @ x - wanted).sum())
            if (x >= 0).all() and error < best_error - 1e-12:
                best_error, found = error, np.zeros(columns)
                found[support] = x / scale[support]
    return found
