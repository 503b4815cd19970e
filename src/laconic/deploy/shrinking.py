"""A physically smaller network: what compression has emptied is gone, and its outputs are what they were.

    f_small(x) = f_masked(x)   for all x, up to the rounding of sums

Channels that nobody reads are found (`emptying`), cut out of every tensor that has them (`cutting`, `narrowing`), and
weights that are products become thin layers (`factored`). Each step is tried on an example and on random inputs; what
does not give the same outputs is left as it was, and named.

A library was weighed for the graph. torch-pruning 1.6 groups layers by autograd's graph, keeps a count of heads beside
the module that goes stale, and its result is a pickled object; codes, constants and rounded counts would have been ours
anyway. torch.export gives a graph of the same operations that a run shows, but only of programs that are one.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, final

from torch import Tensor, nn

from laconic.deploy.account import Example, apart, multiply_adds, noises, outputs_of
from laconic.deploy.cutting import Channels, cut
from laconic.deploy.edits import Edits
from laconic.deploy.emptying import Emptied, empty
from laconic.deploy.narrowing import narrow
from laconic.deploy.sizing import sized
from laconic.deploy.slicing import cut_all, told
from laconic.deploy.thinning import thinned
from laconic.errors import NETWORK_ERRORS, DataError, LaconicError, WeightsError
from laconic.format.codes import Code
from laconic.format.container import bits
from laconic.models.params import apply_to, decompress, first_names, params_of, to_numpy, unwrapped
from laconic.models.wiring import tensors_in

TOLERANCE = 1e-5
"""How far outputs may be from those of the masked network, of the largest."""

_NOISES = 3
"""Random inputs that are tried beside the example."""


class Left(NamedTuple):
    """Channels that compression has emptied and that stay all the same.

    Args:
        name: of the tensor.
        axis: along which they are zero.
        empty: how many.
        why: what keeps them.
    """

    name: str
    axis: int
    empty: int
    why: str


@final
@dataclass(frozen=True, eq=False)
class Shrunk:
    """A smaller network.

    Args:
        codes: of its tensors, by name.
        edits: what was cut out.
        left: what is empty and stays.
        multiply_adds: of one run on the example, before and after.
        difference: max |a − b| / max |a| of its outputs and those of the masked network, on all inputs tried.
    """

    codes: Mapping[str, Code]
    edits: Edits
    left: tuple[Left, ...]
    multiply_adds: tuple[int, int]
    difference: float


def example_of(inputs: Any) -> Example:
    """Return the arguments that stand for an example: a tensor is one, a tuple several, a mapping has their names."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)), {}


def shrink(
    codes: Mapping[str, Code], module: nn.Module, inputs: Any, *, multiple: int = 1, keep_inputs: bool = False,
    seed: int = 0,
) -> Shrunk:  # fmt: skip
    """Return a network without what its codes leave empty.

    Args:
        codes: of all parameters and buffers of ``module``, by name.
        module: whose network it is; it is left as it was.
        inputs: an example: a tensor, a tuple of arguments, or a mapping with their names.
        multiple: channels stay, though they are empty, until there is a multiple of so many.
        keep_inputs: layers read all inputs of the network, and have columns of zeros for those that nobody needs.
        seed: of random inputs.

    Raises:
        WeightsError: when nothing can be removed, which says why; and when the codes are not those of the module.
        DataError: when the network does not run on the example, or says nothing that can be compared.
    """
    if multiple < 1:
        raise WeightsError(f"channels are rounded up to a multiple of 1 or more, not of {multiple}")
    masked, example = _masked(module, codes), example_of(inputs)
    if any(not tensor.numel() for tensor in tensors_in(example)):
        raise DataError("the example holds nothing: give a tensor of one input or more")
    examples = [example, *noises(example, _NOISES, seed)]
    trial = _Trial(codes, masked, examples, _reference(masked, examples), multiple, keep_inputs)
    emptied = empty(copy.deepcopy(masked), *example)
    channels = Channels.of(emptied.traced)
    edits, failed = trial.cut(emptied, channels)
    smaller = trial.codes_of(emptied, edits)
    smaller, edits = trial.factored(smaller, edits)
    left = tuple(_left(trial, emptied, channels, edits, failed))
    if not edits:
        raise WeightsError(_nothing(left))
    network = trial.network(smaller, edits)
    difference = trial.difference(network)
    if not difference <= TOLERANCE:
        raise WeightsError(f"the smaller network's outputs differ by {difference:.1e}: nothing is written")
    costs = multiply_adds(masked, example), multiply_adds(network, example)
    return Shrunk(smaller, edits, left, costs, difference)


def _masked(module: nn.Module, codes: Mapping[str, Code]) -> nn.Module:
    """Return a copy of a module with the weights of codes.

    Raises:
        DataError: when the module cannot be copied, as with torch's older weight normalization.
    """
    try:
        masked = copy.deepcopy(unwrapped(module)).cpu().eval()
    except (RuntimeError, TypeError) as error:
        raise DataError(f"the network cannot be copied, which shrinking does: {error}") from error
    apply_to(masked, decompress(codes))
    return masked


def _reference(masked: nn.Module, examples: Sequence[Example]) -> list[list[Tensor]]:
    """Return the outputs of the masked network.

    Raises:
        DataError: when there are none, or none that can be compared.
    """
    try:
        outputs = outputs_of(masked, examples)
    except NETWORK_ERRORS as error:
        raise DataError(f"the network does not run on the example: {type(error).__name__}: {error}") from error
    if not all(outputs) or not all(bool(tensor.isfinite().all()) for run in outputs for tensor in run):
        raise DataError("the network's outputs are no finite numbers, so that nothing can be compared")
    return outputs


@final
@dataclass(frozen=True, eq=False)
class _Trial:
    """A masked network, and what a smaller one must say.

    Args:
        codes: of the masked network.
        masked: the network.
        examples: what it is run on.
        outputs: what it says.
        multiple: of channels, of which so many stay.
        keep_inputs: no layer selects inputs of the network.
    """

    codes: Mapping[str, Code]
    masked: nn.Module
    examples: Sequence[Example]
    outputs: Sequence[Sequence[Tensor]]
    multiple: int
    keep_inputs: bool

    def difference(self, network: nn.Module) -> float:
        """Return how far a network's outputs are from the masked one's; ∞ where it does not run."""
        try:
            return apart(self.outputs, outputs_of(network, self.examples))
        except (*NETWORK_ERRORS, AssertionError):
            return float("inf")

    def cut(self, emptied: Emptied, channels: Channels) -> tuple[Edits, frozenset[int]]:
        """Return the edits that leave the outputs as they are, and the roots that could not be removed.

        All are tried together; where that fails, each set of layers that have channels in common by itself.
        """
        whole = channels.restored(emptied.traced.idle, self.multiple)
        edits = self._fitting(emptied, channels, whole)
        if edits is not None:
            return edits, frozenset()
        good: frozenset[int] = frozenset()
        for cluster in channels.clusters(whole):
            if self._fitting(emptied, channels, good | cluster) is not None:
                good |= cluster
        return self._fitting(emptied, channels, good) or Edits(), whole - good

    def _fitting(self, emptied: Emptied, channels: Channels, gone: frozenset[int]) -> Edits | None:
        """Return the edits of what is gone, with sizes that fit, or None."""

        def fits(edits: Edits) -> bool:
            try:
                network = narrow(copy.deepcopy(emptied.module), edits)
            except (LaconicError, RuntimeError, IndexError):
                return False
            return self.difference(network) <= TOLERANCE

        edits = cut(emptied, channels, gone, self.multiple, keep_inputs=self.keep_inputs)
        return sized(emptied.module, emptied.traced, channels, gone, edits, fits)

    def codes_of(self, emptied: Emptied, edits: Edits) -> dict[str, Code]:
        """Return the codes of what is left: cut, and of biases that hold constants now their new numbers."""
        firsts = first_names(self.masked)
        axes = {name: edits.axes[firsts[name]] for name in self.codes if firsts[name] in edits.axes}
        smaller = cut_all(self.codes, axes)
        own = params_of(narrow(copy.deepcopy(emptied.module), replace(edits, factored={})))
        for name in emptied.folded:
            array = to_numpy(own[name])
            names = [other for other in smaller if firsts[other] == name]
            if smaller[names[0]].decompress().tobytes() != array.tobytes():
                smaller |= dict.fromkeys(names, min(told(array), key=lambda code: bits({"": code})))
        return smaller

    def network(self, codes: Mapping[str, Code], edits: Edits) -> nn.Module:
        """Return the smaller network."""
        network = narrow(copy.deepcopy(self.masked), edits)
        apply_to(network, decompress(codes))
        return network

    def factored(self, codes: Mapping[str, Code], edits: Edits) -> tuple[dict[str, Code], Edits]:
        """Return codes and edits with thin layers in place of products, where that is fewer multiply-adds."""
        codes = dict(codes)
        network = self.network(codes, edits)
        tied = [name for name, first in first_names(network).items() if name != first]
        shared = {first_names(network)[name] for name in tied} | set(tied)
        cost = multiply_adds(network, self.examples[0])
        for path, layer in list(network.named_modules()):
            weight = f"{path}.weight"
            if weight not in codes or weight in shared or path in edits.selected:
                continue
            product = thinned(layer, codes[weight])
            if product is None:
                continue
            some = product.instead(codes, path)
            tried = replace(edits, factored={**edits.factored, path: (product.kind, *product.ranks)})
            smaller = self.network(some, tried)
            fewer = multiply_adds(smaller, self.examples[0])
            if fewer < cost and self.difference(smaller) <= TOLERANCE:
                codes, edits, cost = some, tried, fewer
        return codes, edits


def _left(trial: _Trial, emptied: Emptied, channels: Channels, edits: Edits, failed: frozenset[int]) -> Sequence[Left]:
    """Return the rows and columns of weights that are all zero and stay, with what keeps them."""
    found: dict[tuple[str, int, str], int] = {}
    own, traced = dict(trial.masked.named_parameters()), emptied.traced
    for (name, axis), roots in channels.roots.items():
        weight = own.get(name)
        if weight is None or weight.ndim < 2 or axis > 1:
            continue
        others = tuple(other for other in range(weight.ndim) if other != axis)
        kept = edits.axes.get(name, {}).get(axis, range(len(roots)))
        zero = weight.eq(0).all(others)
        for index in kept:
            if not bool(zero[index]):
                continue
            root = int(roots[index])
            why = "a multiple of channels is asked for, or one must stay"
            if trial.keep_inputs and name in traced.run.unread and axis == traced.run.unread[name][0]:
                why = "inputs of the network are kept"
            elif root in failed:
                why = "without it the network does not run, or says something else: its program counts on its sizes"
            elif root in traced.pinned:
                why = traced.pinned[root]
            elif root in traced.needed:
                why = (
                    "somebody reads the channel: a bias, a norm, or what is added to it is not 0"
                    if axis == 0
                    else "others read the channel"
                )
            found[name, axis, why] = found.get((name, axis, why), 0) + 1
    return [Left(name, axis, empty, why) for (name, axis, why), empty in found.items()]


def _nothing(left: Sequence[Left]) -> str:
    """Say why nothing can be removed."""
    if not left:
        return (
            "no neuron, filter, channel or head is empty, and no layer is a product of thinner ones: there is nothing "
            "to remove. Prune whole groups (filters, channels, heads) or factor layers first"
        )
    some = "; ".join(f"{n}, axis {a}: {empty} empty, {why}" for n, a, empty, why in left[:4])
    return f"nothing can be removed: {some}"
