"""A standard convolutional network as a compact one: separable and pointwise layers, and a mean before a dense head.

Each layer is replaced by itself: its new weights are nearest to what the old ones write, by least squares under the
second moments of what the layer reads, or with all inputs alike (`separable`, `through`). What a layer writes in the
mean is kept by its bias. Where the changed layer feeds a batch normalization, running statistics follow
(`laconic.lc.recalibrate`). Nothing is trained here: recovery is by a teacher, the network as it was, or by LC.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

from torch import nn

from laconic import interrupts
from laconic.calibrate.calibration import Calibration
from laconic.deploy.compact import CONVOLUTIONS, Compact, put, why_not
from laconic.deploy.edits import METADATA, Edits
from laconic.deploy.flattened import flattened
from laconic.deploy.following import Outputs, followed, having, outputs_of, run
from laconic.deploy.refitting import How, Met, refitted
from laconic.errors import DataError, LaconicError, PlanError, WeightsError
from laconic.format import container
from laconic.format.compact import compact as compacted
from laconic.format.lossless import lossless
from laconic.models.counting import counted
from laconic.models.params import all_params_of, first_names, params_of, to_numpy, unwrapped
from laconic.models.wiring import paired
from laconic.plans.patterns import by_name, matching
from laconic.training.batches import size_of
from laconic.training.task import Task

BETWEEN = ("", "norm", "relu")
"""What may stand between the depthwise convolution and the pointwise one."""

_POSITIONS = 256
"""Of a sample, at most, that moments are of."""

_COLUMNS = 6144
"""Inputs of a layer whose moments are gathered: 300 MB; a layer with more goes by its weights alone."""


class Became(NamedTuple):
    """A layer that was rewritten.

    Args:
        name: of the layer.
        kind: what it became, of `laconic.deploy.compact.KINDS`.
        weights: numbers of it, before and after.
        error: E|change of what it writes|² over E|what it writes|², about its mean where a bias or a norm has that.
    """

    name: str
    kind: str
    weights: tuple[int, int]
    error: float


class Left(NamedTuple):
    """A layer that was named and stays, and why."""

    name: str
    why: str


@final
@dataclass(frozen=True, eq=False)
class Rewritten:
    """A compact network.

    Args:
        module: it, with the weights that it begins with.
        layers: that were rewritten.
        left: that were named and stay.
        multiply_adds: of one input, before and after.
        error: Σ(change of the outputs)² / Σ(outputs)² on samples that nothing was fitted to.
        notes: sentences on what was decided for the caller.
    """

    module: nn.Module
    layers: tuple[Became, ...]
    left: tuple[Left, ...]
    multiply_adds: tuple[int, int]
    error: float
    notes: tuple[str, ...] = ()

    @property
    def metadata(self) -> dict[str, str]:
        """What a file of it tells, so that a fresh network of the class that was rewritten becomes alike."""
        return {METADATA: edits_in(self.module).dumps()}

    def save(self, path: str | Path, metadata: Mapping[str, str] | None = None, *, force: bool = False) -> Path:
        """Write a lossless `.lac` file, all or nothing, which ``laconic.load(path, Net())`` makes the network of.

        Raises:
            OutputExists: when ``path`` exists and ``force`` is not set.
        """
        codes = compacted({name: lossless(to_numpy(tensor)) for name, tensor in params_of(self.module).items()})
        container.write(Path(path), codes, {**(metadata or {}), **self.metadata}, force=force)
        return Path(path)


def edits_in(module: nn.Module) -> Edits:
    """Return what was rewritten in a network."""
    return Edits(rewritten={path: part.how for path, part in module.named_modules() if isinstance(part, Compact)})


def rewrite(
    network: nn.Module | Task, inputs: Any = None, *, separable: str = "*", pointwise: str = "", pooled: str = "*",
    rank: int = 1, between: str = "", by_weights: bool = False, samples: int = 256, seed: int = 0,
) -> Rewritten:  # fmt: skip
    """Return a compact network in place of a standard one, as near to it as weights alone make it: train it then.

    Patterns name layers, as ``"layer2.*, conv1"``, by their names, those of their weights, or ``class:Conv2d``.

    Args:
        network: the module, or a task; it is left as it was.
        inputs: samples, as `laconic.compress` takes them for calibration; a task's training data unless given.
        separable: convolutions that become depthwise and pointwise ones.
        pointwise: convolutions of which one tap is left; these win.
        pooled: dense layers that read the means of maps in place of all their positions.
        rank: depthwise kernels for each channel of a separable layer; 1 in print.
        between: the two convolutions of a separable layer: "", "norm" for batch normalization, "relu" for that and a
            ReLU. The layer begins as without either.
        by_weights: least squares with all inputs alike; inputs then only try the network out.
        samples: of the inputs that are looked at, a fifth of them to judge by.
        seed: of their order.

    Raises:
        WeightsError: when nothing can be rewritten, which says why; when the network is itself a convolution.
        PlanError: for a pattern that names no layer, and for arguments of no meaning.
        DataError: when the network does not run on the inputs, or its outputs are not finite.

    >>> import torch
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10))
    >>> small = rewrite(net.eval(), torch.randn(16, 3, 4, 4))
    >>> [(one.name, one.kind, one.weights) for one in small.layers], small.multiply_adds
    ([('0', 'separable', (216, 51)), ('3', 'pooled', (1280, 80))], (4736, 896))
    """
    if rank < 1 or between not in BETWEEN:
        raise PlanError(f"rank is 1 or more, between one of {', '.join(map(repr, BETWEEN))}; got {rank}, {between!r}")
    module = unwrapped(network.module if isinstance(network, Task) else network)
    if isinstance(module, CONVOLUTIONS):
        itself = f"the network is itself a {type(module).__name__}, which has no place for another layer"
        raise WeightsError(f"{itself}: put it into a torch.nn.Sequential")
    source = Calibration.of(network if isinstance(network, Task) else module, inputs, samples, seed)
    outputs = outputs_of(source)
    chosen, left = _chosen(source, (separable, pointwise, pooled), (rank, between))
    moments, notes = ({}, ()) if by_weights else _moments(source, chosen)
    free = _normalized(source)
    made = {path: refitted(module.get_submodule(path), how, moments.get(path), about_mean=path in free)
            for path, how in chosen.items()}  # fmt: skip
    rewritten, failed = _put(source, made, outputs)
    if not rewritten:
        raise WeightsError(_nothing([*left, *failed]))
    after = having(source, _with(module, {path: made[path][0] for path in rewritten}))
    error = followed(source, after, outputs)
    adds = _multiply_adds(source), _multiply_adds(after)
    layers = tuple(_became(path, module.get_submodule(path), *made[path]) for path in rewritten)
    return Rewritten(after.module, layers, (*left, *failed), adds, error, (*source.notes, *notes))


def _chosen(
    source: Calibration, patterns: tuple[str, str, str], how: tuple[int, str]
) -> tuple[dict[str, How], list[Left]]:
    """Return what each layer that is named becomes, and which of them stay."""
    module, (rank, between) = source.module, how
    separable, pointwise, pooled = (_named(pattern, module, kinds) for pattern, kinds in zip(
        patterns, (CONVOLUTIONS, CONVOLUTIONS, (nn.Linear,)), strict=True))  # fmt: skip
    maps = flattened(module, lambda: run(source, source.seen[0])) if pooled else {}
    kind = f"separable-{between}" if between else "separable"
    asked: dict[str, How] = dict.fromkeys(separable, (kind, (rank,))) | dict.fromkeys(pointwise, ("pointwise", ()))
    asked |= {path: ("pooled", (maps.get(path, 0),)) for path in pooled}
    chosen, left, shared = dict[str, How](), list[Left](), _shared(module)
    for path, layer in module.named_modules():
        if path in asked:
            why = shared.get(path, "") or _why_not(layer, *asked[path])
            if why:
                left.append(Left(path, why))
            else:
                chosen[path] = asked[path]
    return chosen, left


def _named(pattern: str, module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> tuple[str, ...]:
    """Return the layers of some kinds that a pattern names, but for those within compact layers.

    Raises:
        PlanError: when it names none, and is not "*".
    """
    if not pattern:
        return ()
    within = tuple(f"{path}." for path, part in module.named_modules() if isinstance(part, Compact))
    layers = [path for path, part in module.named_modules()
              if isinstance(part, kinds) and path and not path.startswith(within or "\0")]  # fmt: skip
    names = {path: path for path in layers} | {f"{path}.weight": path for path in layers}
    found = matching(by_name(pattern, module), names)
    if not found and pattern != "*":
        raise PlanError(f"pattern {pattern!r} names no layer of {' or '.join(kind.__name__ for kind in kinds)}; "
                        f"there are {', '.join(layers) or 'none'}")  # fmt: skip
    return found


def _shared(module: nn.Module) -> dict[str, str]:
    """Return why layers by name are not alone in what they are: another could not take their place."""
    every = [part for _, part in module.named_modules(remove_duplicate=False)]
    firsts = first_names(module)
    weights, found = list(firsts.values()), dict[str, str]()
    for path, part in module.named_modules():
        if every.count(part) > 1:
            found[path] = "is in the network under several names"
        elif weights.count(firsts.get(f"{path}.weight", "")) > 1:
            found[path] = "shares its weight with another layer"
        elif part._forward_hooks or part._forward_pre_hooks or part._backward_hooks:
            found[path] = "has hooks, which another layer would lose"
    return found


def _why_not(layer: Any, kind: str, sizes: tuple[int, ...]) -> str:
    """Return why a layer stays, or nothing."""
    if sizes == (0,):
        return "reads no flattened map" if type(layer) is nn.Linear else f"is a {type(layer).__name__}"
    why = why_not(layer, kind, sizes)
    if why or not kind.startswith("separable"):
        return why
    taps, outputs, rank = math.prod(layer.kernel_size), layer.out_channels, sizes[0]
    fewer = rank * (taps + outputs) < taps * outputs
    return "" if fewer else f"would take no fewer multiply-adds: {rank} · ({taps} + {outputs}) ≥ {taps} · {outputs}"


def _normalized(source: Calibration) -> set[str]:
    """Return the layers whose mean a batch normalization takes out, which alone reads them."""
    _, pairs, _ = paired(source.module, lambda: run(source, source.seen[0]))
    norms = {norm: source.module.get_submodule(norm) for norm in pairs}
    return {pairs[norm] for norm, part in norms.items() if getattr(part, "running_mean", None) is not None}


def _moments(source: Calibration, chosen: Mapping[str, How]) -> tuple[dict[str, Met], tuple[str, ...]]:
    """Return what layers read, and notes on those whose moments would be too large."""
    layers = {path: source.module.get_submodule(path) for path in chosen}
    large = [path for path, layer in layers.items() if layer.weight[0].numel() > _COLUMNS]  # type: ignore[index]
    firsts = first_names(source.module)
    names = {firsts[f"{path}.weight"]: path for path in layers if path not in large}
    found = source.covariances(all_params_of(source.module), list(names), _POSITIONS)
    met = {names[name]: Met(one.covariance[0].cpu(), one.mean[0].cpu()) for name, one in found.items()}
    endless = [path for path, one in met.items() if not bool(one.centred.isfinite().all())]
    notes = (
        (large, f"they read more than {_COLUMNS:,} numbers"),
        (endless, "squares of what they read are too large for float64"),
    )
    told = tuple(f"by weights alone, for {why}: {', '.join(paths)}" for paths, why in notes if paths)
    return {path: one for path, one in met.items() if path not in endless}, told


def _put(
    source: Calibration, made: Mapping[str, tuple[Compact, float]], outputs: Outputs
) -> tuple[list[str], list[Left]]:
    """Return which layers can be replaced so that the network runs, all of them or one after the other."""

    def runs(paths: list[str]) -> str:
        interrupts.check()
        try:
            found = outputs_of(having(source, _with(source.module, {path: made[path][0] for path in paths})))
        except _FAILS as error:
            return f"{type(error).__name__}: {error}"
        shapes = ([one.shape for one in outputs[0]], [one.shape for one in found[0]])
        return "" if shapes[0] == shapes[1] else f"outputs have shapes {shapes[1]}, not {shapes[0]}"

    if not runs(list(made)):
        return list(made), []
    kept, left = list[str](), list[Left]()
    for path in made:
        if why := runs([*kept, path]):
            left.append(Left(path, f"is needed as it is, for the network does not run with another: {why}"))
        else:
            kept.append(path)
    return kept, left


_FAILS = (LaconicError, RuntimeError, TypeError, ValueError, IndexError, AttributeError, AssertionError)


def _with(module: nn.Module, layers: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy of a network with other layers in some places.

    Raises:
        DataError: when the module cannot be copied, as with torch's older weight normalization.
    """
    try:
        network = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise DataError(f"the network cannot be copied, which rewriting does: {error}") from error
    for path, layer in layers.items():
        put(network, path, copy.deepcopy(layer))
    return network


def _multiply_adds(source: Calibration) -> int:
    """Return the multiply-adds of one input."""
    batch = source.seen[0]
    return int(counted(source.module, lambda: run(source, batch), size_of(batch)).multiply_adds)


def _became(path: str, layer: nn.Module, made: Compact, error: float) -> Became:
    """Return what is told of a layer."""

    def weights(one: nn.Module) -> int:
        return sum(tensor.numel() for tensor in one.parameters() if tensor.ndim > 1)

    return Became(path, made.kind, (weights(layer), weights(made)), error)


def _nothing(left: list[Left]) -> str:
    """Say why nothing can be rewritten."""
    if not left:
        return "nothing can be rewritten: the network has no convolution of more than one tap, and no flattened map"
    return f"nothing can be rewritten: {'; '.join(f'{name} {why}' for name, why in left[:4])}"
