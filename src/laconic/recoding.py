"""Nothing may change: a checkpoint as a file that gives every tensor back bit by bit, quantized ones included."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from laconic.format.codes import Code
from laconic.format.lossless import lossless, together, unpacked
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.models.checkpoints import checkpoint_size
from laconic.models.params import Params, all_params_of, to_numpy
from laconic.models.quantized import quantized
from laconic.models.standing import Standing
from laconic.models.ties import untied
from laconic.result import Result


def recode(
    network: nn.Module | Params,
    metadata: Mapping[str, str] | None = None,
    *,
    watch: Callable[[int], None] | None = None,
) -> Result:
    """Return a checkpoint recoded: `Result.params` are its tensors, bit by bit.

    Floats go through the file's lossless coder. Integers that somebody else has packed, in the layouts of
    `laconic.models.quantized`, are unpacked and coded row by row, and packed again when they are read.

    Args:
        network: a module, or tensors by name.
        metadata: text beside them, which the file has too; see `quantized` for a configuration in it.
        watch: told how many elements are done.

    >>> import torch
    >>> words = (torch.arange(1 << 14, dtype=torch.int32) * 0x1234567).reshape(64, 256)
    >>> zeros, scales = torch.zeros((4, 32), dtype=torch.int32), torch.ones((4, 256))
    >>> result = recode({"a.qweight": words, "a.qzeros": zeros, "a.scales": scales})
    >>> type(result.codes["a.qweight"]).__name__, torch.equal(result.params["a.qweight"], words)
    ('PackedCode', True)
    """
    params = all_params_of(network) if isinstance(network, nn.Module) else network
    notes = {REFERENCE_BYTES: str(checkpoint_size(params)), **(metadata or {})}
    words, whole = quantized(params, notes).words, untied(params).alike()
    codes, done = dict[str, Code](), 0
    for name, tensor in whole.params.items():
        array = to_numpy(tensor)
        codes[name] = unpacked(array, words[name]) if name in words else lossless(array)
        done += tensor.numel()
        if watch is not None:
            watch(done)
    return Result(whole.named(together(codes)), notes)


def dequantized(params: Params, metadata: Mapping[str, str] | None = None) -> dict[str, Tensor]:
    """Return the weights that a quantized checkpoint stands for, beside its other tensors.

    Args:
        params: by name; all as they are where no layout is recognised.
        metadata: as of `recode`.

    Raises:
        WeightsError: naming the tensor, where shapes or orders do not fit one another.
    """
    return dict(Standing(params, quantized(params, metadata or {})))
