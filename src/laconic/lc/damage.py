"""What compression has left of a network, tensor by tensor, and of the weights that it makes of them."""

from collections.abc import Mapping

from torch import nn

from laconic.format.codes import Code
from laconic.models.parametrized import is_made, made_of
from laconic.models.params import Arrays, decompress
from laconic.models.ties import Untied
from laconic.quantize.budget.signal import Signal, signals


def left(
    network: Untied,
    codes: Mapping[str, Code],
    module: nn.Module | None = None,
    known: Mapping[str, Signal] | None = None,
    *,
    moved: bool = False,
) -> dict[str, Signal]:
    """Return what is left of each tensor of floats, by its first name, and of each weight that the module makes.

    Args:
        network: as it was.
        codes: by name.
        module: that may make weights of its parameters, if there is one.
        known: of the tensors, where somebody has looked already.
        moved: whether training has moved the tensors: then only what is all 0 or not finite is lost.
    """
    of = dict(signals(Arrays(network.params), codes, moved=moved) if known is None else known)
    if module is not None and is_made(module):
        before = made_of(module, network.named(dict(network.params)))
        after = made_of(module, decompress(network.named({first: codes[first] for first in network.params})))
        of |= {name: Signal.of(after[name], weight, moved=moved) for name, weight in before.items()}
    return of
