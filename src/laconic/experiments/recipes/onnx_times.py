"""Times of networks in onnxruntime, called by turns."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from laconic.deploy.calls import Call
from laconic.deploy.graph import graph_of
from laconic.deploy.session import Session
from laconic.deploy.timing import timed


def runner(module: nn.Module, images: Tensor) -> Callable[[], object]:
    """Return a call of the graph of a module in onnxruntime."""
    call = Call((images,), {})
    session = Session.of(graph_of(copy.deepcopy(module).cpu().eval(), call), torch.get_num_threads())
    feeds = session.feeds(call)
    return lambda: session.run(feeds)


def milliseconds(
    modules: Mapping[str, nn.Module], images: Tensor, counts: tuple[int, ...], seconds: float,
    made: Callable[[nn.Module, Tensor], Callable[[], object]] = runner,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return for each number of images at a time the milliseconds that each network takes for all of them.

    Args:
        modules: by name.
        images: at least as many as the largest number.
        counts: at a time.
        seconds: of the clock for each number.
        made: makes a call of a network.
    """
    found = dict[str, dict[str, float]]()
    for count in counts:
        took = timed({name: made(one, images[:count]) for name, one in modules.items()}, seconds)
        found[str(count)] = {name: took[name].milliseconds for name in modules}
    return found
