"""Batch normalization folded into the layer before it, without a change of names or shapes.

In evaluation mode a normalization scales and shifts each channel, `y = γ (Wx + b − mean) / √(var + ε) + β`, and the
layer that writes the channel can have the scale (Jacob et al. 2018, arXiv 1712.05877, section 3.2). With 1 − ε
rounded to the type of the variance, and d = √((1 − ε) + ε),

    s = γ d / √(var + ε)      W ← s W      var ← 1 − ε      γ ← 1

and the shift s (b − mean) goes to β, divided by d; where there is no β, to b; where there is no b either, the mean
keeps it. Those of mean and b that have no shift become 0. To fold twice is to fold once.

Which layer writes what a normalization reads is seen in one run on a batch; what is found is tried on that batch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd

from laconic import interrupts
from laconic.errors import DataError, WeightsError, listed
from laconic.models.parametrized import evaluating
from laconic.models.params import Params, buffers_of, dtype_name, first_names, once, require_finite, unwrapped
from laconic.models.wiring import Layer, paired, tensors_in

_KINDS = ("weight", "bias", "running_mean", "running_var")

_TOLERANCES = {64: 1e-10, 32: 1e-5}
_COARSE = 1e-2
"""How far outputs may move, of the largest, by the bits of a number; the last for 16 bits."""

_MARGIN = 4
"""How many times as far as they do when weights move to a number beside; deep networks make much of a rounding."""

_NO_STATISTICS = "has no running statistics: it normalizes a batch by the batch's own"
_MOVES = (
    "moves the outputs by {:.1e} when folded, more than the {:.0e} that rounding may: something reads its layer's "
    "output, or the weights, in a way that a run does not show"
)


@final
@dataclass(frozen=True)
class Folding:
    """Which normalizations of a module can be folded.

    Args:
        pairs: name of the normalization → name of the layer that takes its scale, both as of `named_modules`.
        left: name of each other normalization → why it is left alone.
        difference: how far outputs move when all pairs are folded, max |a − b| / max |a| of the worst output tensor.
    """

    pairs: Mapping[str, str]
    left: Mapping[str, str]
    difference: float = 0.0


@torch.no_grad()
def foldable(module: nn.Module, params: Params, outputs: Callable[[Params], Any]) -> Folding:
    """Return which batch normalizations of ``module`` can be folded into the layer before them.

    A pair is a normalization with running statistics and the linear layer or convolution whose output it reads, where
    each runs once and nothing else reads that output. All pairs are folded and the outputs compared; where these
    differ by more than rounding explains, pairs are tried in halves, and those that alone make a difference are left.

    Args:
        module: in evaluation mode meanwhile.
        params: its parameters and buffers by name.
        outputs: (params) → outputs of the module with ``params`` in place of its own tensors, always on one batch:
            tensors, perhaps nested in mappings, sequences and dataclasses.

    Raises:
        DataError: when the outputs hold NaN or no numbers, or differ from one run to the next.
        WeightsError: when a tensor of a pair is missing, not finite or of another shape than the module has it.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4))
    >>> outputs = lambda params: torch.func.functional_call(net, params, torch.ones(2, 3))
    >>> found = foldable(net, net.state_dict(), outputs)
    >>> found.pairs, found.left
    ({'1': '0'}, {'3': 'reads no output of a linear layer or convolution as it is'})
    """
    network = _Network.of(unwrapped(module), params)
    buffers, folds = buffers_of(network.module), dict[str, dict[str, Tensor]]()

    def run(given: Params) -> Any:
        interrupts.check()  # buffers are copies, for a network may count in them
        return outputs({name: tensor.clone() if name in buffers else tensor for name, tensor in given.items()})

    def moved(norms: Iterable[str]) -> float:
        return _difference(before, _floats(run(network.having(folds[norm] for norm in norms))))

    with evaluating(network.module):
        returned, pairs, left = paired(network.module, lambda: run(params))
        for norm, layer in pairs.items():
            folds[norm], why = network.folds(norm, layer)
            left |= {norm: why} if why else {}
        kept, before = [norm for norm in pairs if norm not in left], _floats(returned)
        _require_comparable(before)
        tolerance = max(map(_tolerance, [*before, *_floats(network.module.state_dict())]))
        difference = moved(kept)
        if not difference <= tolerance:
            _require_steady(moved(()), tolerance)
            jolted = _floats(run(network.having(network.jolted(pairs[norm]) for norm in kept)))
            tolerance = max(tolerance, _MARGIN * _difference(before, jolted))
            blamed = _blamed(kept, moved, tolerance)
            left |= {norm: _MOVES.format(lost, tolerance) for norm, lost in blamed.items()}
            kept = [norm for norm in kept if norm not in blamed]
            difference = moved(kept)
    return Folding({norm: pairs[norm] for norm in kept}, left, difference)


@torch.no_grad()
def folded(module: nn.Module, params: Params, pairs: Mapping[str, str]) -> dict[str, Tensor]:
    """Return ``params`` with each normalization of ``pairs`` folded into its layer, under the same names.

    What is folded is computed in float64 and rounded once to the type that the tensor has in ``params``; all else is
    the tensors of ``params`` themselves.

    Args:
        module: it stays as it is.
        params: its parameters and buffers by name.
        pairs: name of the normalization → name of the layer, of `foldable`.

    Raises:
        WeightsError: when a tensor is missing, not finite or of another shape than the module has it, when what is
            folded is past the range of its type, or when names are no such pair.
    """
    network, new = _Network.of(unwrapped(module), params), list[dict[str, Tensor]]()
    for norm, layer in pairs.items():
        tensors, why = network.folds(norm, layer)
        if why:
            raise WeightsError(f"{norm} cannot be folded into {layer}, for it {why}; leave the pair out")
        new.append(tensors)
    return network.having(new)


@final
@dataclass(frozen=True, eq=False)
class _Network:
    """A module with tensors in place of its own.

    Args:
        module: with its own tensors.
        parts: its parts by name, each once.
        params: the tensors in place of its own.
        firsts: every name of a tensor of the module, with the first one.
        kept: first names, with the one that ``params`` have.
        owners: in how many places of the parts a tensor is, by its id.
    """

    module: nn.Module
    parts: Mapping[str, nn.Module]
    params: Params
    firsts: Mapping[str, str]
    kept: Mapping[str, str]
    owners: Mapping[int, int]

    @classmethod
    def of(cls, module: nn.Module, params: Params) -> "_Network":
        """Return a module with ``params``."""
        parts = dict(module.named_modules())
        owners = Counter(id(tensor) for part in parts.values() for tensor in _own(part).values())
        return cls(module, parts, params, first_names(module), once(module, params), owners)

    def having(self, new: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the params with ``new`` ones by first name under all of their names."""
        tensors = {name: tensor for some in new for name, tensor in some.items()}
        return {name: tensors.get(self.firsts.get(name, name), tensor) for name, tensor in self.params.items()}

    def folds(self, norm: str, layer: str) -> tuple[dict[str, Tensor], str]:
        """Return the tensors of a normalization folded into a layer, by first name, and why they are of no use, or "".

        Raises:
            WeightsError: as `given`.
        """
        first, second = self.parts.get(layer), self.parts.get(norm)
        if not (isinstance(first, Layer) and isinstance(second, _BatchNorm)):
            return {}, f"is no normalization of the module, or {layer} no linear layer or convolution of it"
        if why := self._strange(layer) or self._strange(norm):
            return {}, why
        one, two = self.given(layer), self.given(norm)
        if "running_mean" not in two or "running_var" not in two:
            return {}, _NO_STATISTICS
        new: dict[str, Tensor] = {}
        for name, old, changed in zip((layer, norm), (one, two), _folds(first, second, one, two), strict=True):
            for kind, tensor in changed.items():
                given = old[kind]
                new[self.firsts[f"{name}.{kind}"]] = tensor.to(given.device, given.dtype).contiguous()
        bad = [f"{name} ({dtype_name(tensor)})" for name, tensor in new.items() if not tensor.isfinite().all()]
        return new, f"has a variance of 0 or less, or one that takes out of range {listed(bad)}" if bad else ""

    def jolted(self, layer: str) -> dict[str, Tensor]:
        """Return the weight of a layer, by first name, each number moved by about one place up or down."""
        name, own = self.firsts[f"{layer}.weight"], _own(self.parts[layer])["weight"]
        weight = self.params[self.kept[name]]
        signs = 2 * torch.randint(0, 2, weight.shape, generator=torch.Generator().manual_seed(0)) - 1
        moved = weight.to("cpu", torch.float64) * (1 + torch.finfo(own.dtype).eps * signs)
        return {name: moved.to(weight.device, weight.dtype)}

    def _strange(self, name: str) -> str:
        """Return the reason why tensors of a part are not the part's alone, or ""."""
        part = self.parts[name]
        for kind in _KINDS:
            tensor = getattr(part, kind, None)
            if tensor is not None and kind not in _own(part):
                return f"needs {name}.{kind}, which is made of other tensors"
            if self.owners.get(id(tensor), 0) > 1:
                return f"needs {name}.{kind}, which another part has as well"
        return ""

    def given(self, part: str) -> dict[str, Tensor]:
        """Return what the params have for the tensors of a part that folding reads, by kind.

        Raises:
            WeightsError: when one is missing, not finite or of another shape than the module has it.
        """
        given: dict[str, Tensor] = {}
        for kind, own in _own(self.parts[part]).items():
            if kind not in _KINDS:
                continue
            name = self.kept.get(self.firsts[f"{part}.{kind}"])
            if name is None:
                raise WeightsError(f"the weights lack {part}.{kind}; laconic.models.params.params_of gives them all")
            given[kind] = self.params[name]
            if given[kind].shape != own.shape:
                shapes = f"{tuple(own.shape)}, not {tuple(given[kind].shape)}"
                raise WeightsError(f"{name}: the module's shape is {shapes}; give weights of this very module")
            require_finite(name, given[kind])
        return given


def _own(part: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers that a part has itself, by kind."""
    return {kind: tensor for kind, tensor in {**part._parameters, **part._buffers}.items() if tensor is not None}


def _folds(layer: Layer, norm: _BatchNorm, one: Params, two: Params) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of a layer, ``one``, and of its normalization, ``two``, folded, by kind, in float64.

    They are in main memory: not every accelerator has float64.
    """
    unit = torch.tensor(1 - norm.eps, dtype=torch.float64).to(two["running_var"].dtype).double()
    one, two = ({k: t.detach().to("cpu", torch.float64) for k, t in old.items()} for old in (one, two))
    mean, var, divisor = two["running_mean"], two["running_var"], (unit + norm.eps).sqrt()
    scale = divisor / (var + norm.eps).sqrt() * two.get("weight", 1.0)
    shift = scale * (one.get("bias", 0.0) - mean)
    new_one = {"weight": _scaled(layer, one["weight"], scale)}
    new_two = {"running_var": unit.expand_as(var), "running_mean": torch.zeros_like(mean)}
    if "weight" in two:
        new_two["weight"] = torch.ones_like(mean)
    if "bias" in one:
        new_one["bias"] = torch.zeros_like(mean) if "bias" in two else shift
    if "bias" in two:
        new_two["bias"] = two["bias"] + shift / divisor
    elif "bias" not in one:
        new_two["running_mean"] = scale * mean
    return new_one, new_two


def _scaled(layer: Layer, weight: Tensor, scale: Tensor) -> Tensor:
    """Return the weight of a layer with each output channel times its ``scale``, shape (channels,)."""
    if not isinstance(layer, _ConvTransposeNd):
        return weight * scale.view(-1, *[1] * (weight.ndim - 1))
    grouped = weight.view(layer.groups, -1, *weight.shape[1:])  # (groups, inputs, outputs, *kernel)
    return (grouped * scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2))).view(weight.shape)


def _floats(outputs: Any) -> list[Tensor]:
    """Return the real and complex tensors in outputs that are not empty."""
    return [t for t in tensors_in(outputs) if (t.is_floating_point() or t.is_complex()) and t.numel()]


def _require_comparable(before: list[Tensor]) -> None:
    """Raise `DataError` unless there are tensors to compare, without NaN."""
    if not before:
        raise DataError(
            "the outputs have no tensor of floats: nothing can be compared. Give a function that returns one"
        )
    bad = [at for at, tensor in enumerate(before) if tensor.isnan().any()]
    if bad:
        raise DataError(
            f"of the {len(before)} output tensors number {listed(map(str, bad))} hold NaN: nothing can be compared. "
            "Repair the weights, or give another batch"
        )


def _require_steady(noise: float, tolerance: float) -> None:
    """Raise `DataError` when two runs with the same weights have differed."""
    if not noise <= tolerance:
        raise DataError(
            f"two runs with the same weights differ by {noise:.1e} of the outputs: nothing can be compared. Give a "
            "function whose batch is always the same, of a network without chance in evaluation mode"
        )


def _tolerance(tensor: Tensor) -> float:
    """Return how far outputs may move where ``tensor`` takes part; an accelerator may round products to 11 bits."""
    bits = torch.finfo(tensor.dtype).bits
    return _COARSE if bits == 32 and tensor.device.type != "cpu" else _TOLERANCES.get(bits, _COARSE)


def _difference(before: list[Tensor], after: list[Tensor]) -> float:
    """Return max |a − b| / max |a| of the worst tensor; equal infinities do not differ, and NaN does without end."""
    if [tensor.shape for tensor in before] != [tensor.shape for tensor in after]:
        return inf
    worst = 0.0
    for one, other in zip(before, after, strict=True):
        apart = (one != other).nonzero(as_tuple=True)
        if not len(apart[0]):
            continue
        lost = float((one[apart].to(torch.complex128) - other[apart].to(torch.complex128)).abs().max())
        largest = float(one.abs().where(one.isfinite(), 0).max())
        worst = max(worst, lost / largest if isfinite(lost) and largest else inf)
    return worst


def _blamed(norms: list[str], moved: Callable[[list[str]], float], tolerance: float) -> dict[str, float]:
    """Return the normalizations that move the outputs by more than ``tolerance`` alone, and by how much, by halving."""
    lost = moved(norms)
    if lost <= tolerance:
        return {}
    if len(norms) == 1:
        return {norms[0]: lost}
    half = len(norms) // 2
    return _blamed(norms[:half], moved, tolerance) | _blamed(norms[half:], moved, tolerance)
