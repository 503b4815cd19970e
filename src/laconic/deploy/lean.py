"""What a file leaves to run: its network without what is empty, products as thin layers; and what that takes.

A decompressed network is as large as it was and takes as long; what a file saves in time is what can be left out.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import NamedTuple

from torch import nn

from laconic.deploy.calls import Call
from laconic.deploy.modules import stored
from laconic.deploy.shrinking import shrink
from laconic.deploy.timing import ROWS, SECONDS, Time, timed
from laconic.errors import LaconicError, WeightsError
from laconic.format.codes import Code
from laconic.models.parametrized import evaluating
from laconic.models.params import Params, apply_to, unwrapped


class Lean(NamedTuple):
    """A network that runs what a file leaves.

    Args:
        module: it.
        said: what was left out, or why nothing was.
        multiply_adds: of one input, before and after; none where nothing was left out.
    """

    module: nn.Module
    said: str
    multiply_adds: tuple[tuple[float, float], ...] = ()


class Race(NamedTuple):
    """Calls of a network before and after, by turns.

    Args:
        rows: samples of a call.
        before: of the original network.
        after: of what the file leaves; its ratio is how many times faster that is.
    """

    rows: int
    before: Time
    after: Time


def lean(network: nn.Module, codes: Mapping[str, Code], call: Call) -> Lean:
    """Return what is left to run of a compressed network.

    Args:
        network: stays as it is.
        codes: of all its parameters and buffers, by name.
        call: it is run on.

    Raises:
        WeightsError: when names or shapes differ.
    """
    given = dict(call.named) if call.named else call.positional
    try:
        if call.named and call.positional:
            raise WeightsError("its arguments come by place and by name")
        smaller = shrink(codes, network, given)
    except LaconicError as error:
        thin = stored(network, codes, ("factored",))
        some = f"{_thin(len(thin.forms))}; " if thin.forms else ""
        return Lean(thin.module.eval(), f"{some}nothing is cut out: {error}")
    edits = smaller.edits
    said = ["what is empty is cut out"] if edits.axes else []
    said += [_thin(len(edits.factored))] if edits.factored else []
    before, after = (many / max(call.rows, 1) for many in smaller.multiply_adds)
    return Lean(stored(network, smaller.codes, (), edits).module.eval(), ", ".join(said), ((before, after),))


def _thin(many: int) -> str:
    """Say how many layers are thin ones."""
    return f"{many} layer{'s' * (many > 1)} as thin product{'s' * (many > 1)}"


def raced(network: nn.Module, before: Params, after: nn.Module, call: Call, seconds: float = SECONDS) -> list[Race]:
    """Return the times of calls of a network with the weights of the original, and of what a file leaves of it.

    Args:
        network: stays as it is.
        before: its original parameters and buffers, by name.
        after: what is left to run.
        call: its samples are repeated where it has fewer.
        seconds: of the calls of each number of samples.
    """
    original = deepcopy(unwrapped(network))
    apply_to(original, before)
    races = []
    with evaluating(original), evaluating(after):
        for rows in ROWS:
            some = call.first(rows)
            times = timed({"before": lambda: some.of(original), "after": lambda: some.of(after)}, seconds)  # noqa: B023
            races.append(Race(rows, times["before"], times["after"]))
    return races
