"""First weights of a network, drawn anew."""

import copy

import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.models.params import params_of, unwrapped
from laconic.training.loop import seeded


def drawn(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return new first weights and buffers for a module, as its layers draw them when they are made.

    Each layer does so by its ``reset_parameters``, which those of torch have.

    Args:
        module: stays as it is.
        seed: of the draw; torch's global generators are left alone.

    Raises:
        DataError: for parameters of a module without this function; it names them.
    """
    fresh, reached = copy.deepcopy(unwrapped(module)), set[int]()
    with seeded(seed), torch.no_grad():
        for part in reversed(list(fresh.modules())):  # a whole may draw for its parts, as attention does
            reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
            if callable(reset):
                reset()
                reached |= {id(tensor) for tensor in part.parameters()}
    strange = [name for name, tensor in fresh.named_parameters() if id(tensor) not in reached]
    if strange:
        raise DataError(
            f"{', '.join(strange)}: the module that has them has no reset_parameters(), which draws them; "
            "give the first weights themselves"
        )
    return params_of(fresh)
