"""What others make of a network in a directory, at the bytes that they take: each gives the weights back, and a size.

Everything counts: what a method leaves alone is there in float16. A method that does not run raises, and says why.
"""

import math
import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from laconic.calibrate.calibration import Calibration

Made = tuple[dict[str, Tensor], int]
"""The weights by name, and the bytes of the file."""

GROUP = 64
"""Weights that share a scale, of `nearest`."""


def nearest(params: Mapping[str, Tensor], bits: float) -> Made:
    """Return weights rounded to nearest, at most `GROUP` in a row a float16 scale: 2^b levels, or 3 for 1.5 bits.

    Three levels take 1.6 bits, five to a byte; the file has no entropy coder.
    """
    most, each = (1.0, 1.6) if bits < 2 else (2 ** (bits - 1) - 1, bits)
    found, size = dict[str, Tensor](), 0.0
    for name, tensor in params.items():
        if tensor.ndim < 2:
            found[name], size = tensor.half().float(), size + 2 * tensor.numel()
            continue
        width = next(one for one in range(GROUP, 0, -1) if tensor.shape[-1] % one == 0)
        groups = tensor.reshape(-1, width)
        low = -most - (bits >= 2)
        scales = (groups.abs().amax(1, keepdim=True) / max(most, -low)).half().float().clamp(min=1e-7)
        found[name] = ((groups / scales).round().clamp(low, most) * scales).reshape(tensor.shape)
        size += each * tensor.numel() / 8 + 2 * len(groups)
    return found, math.ceil(size)


def gguf(params: Mapping[str, Tensor], kind: str) -> Made:
    """Return weights in a GGUF file of one type; matrices whose rows are no multiple of 32 are float16."""
    import gguf as package

    of = package.GGMLQuantizationType[kind]
    found = dict[str, Tensor]()
    with tempfile.TemporaryDirectory() as folder:
        writer = package.GGUFWriter(Path(folder) / "a.gguf", "network")
        for name, tensor in params.items():
            array = tensor.numpy()
            if array.ndim < 2:
                data, back = array.astype(np.float32), array
            elif array.shape[-1] % 32:
                data = array.astype(np.float16)
                back = data.astype(np.float32)
            else:
                data = package.quants.quantize(array, of)
                back = package.quants.dequantize(data, of)
            writer.add_tensor(name, data, raw_dtype=of if data.dtype == np.uint8 else None)
            found[name] = torch.from_numpy(np.array(back, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return found, (Path(folder) / "a.gguf").stat().st_size


def quanto(module: nn.Module, bits: int) -> Made:
    """Return weights of optimum-quanto's qint4 or qint2, which takes linear layers alone, in a safetensors file."""
    from optimum.quanto import freeze, library, qint2, qint4, quantize

    unpacking = SimpleNamespace(unpack=_unpacked)  # in place of what it would compile
    library.extensions.extension.Extension.lib = property(lambda own: unpacking)
    own = deepcopy(module)
    quantize(own, weights=qint4 if bits == 4 else qint2)
    freeze(own)
    names = {name for name, _ in module.named_parameters()}
    found = {name: _plain(tensor) for name, tensor in own.named_parameters() if name in names}
    stored = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in own.state_dict().items() if not name.endswith(("input_scale", "output_scale"))
    }  # fmt: skip
    return found, len(save(_once(module, stored)))


def _unpacked(packed: Tensor, bits: int) -> Tensor:
    """Return quanto's integers of a few bits from the bytes that hold them, the lowest bits of all first."""
    return torch.cat([packed >> shift & 2**bits - 1 for shift in range(0, 8, bits)])


def torchao(module: nn.Module) -> Made:
    """Return weights of torchao's int4, groups of 32, which takes linear layers alone."""
    from torchao.quantization import Int4WeightOnlyConfig, quantize_

    own = deepcopy(module).to(torch.bfloat16)
    quantize_(own, Int4WeightOnlyConfig(group_size=32))
    found = {name: _plain(tensor).float() for name, tensor in own.named_parameters()}
    size = 0
    for tensor in own.parameters():
        parts = [getattr(tensor, part) for part in getattr(tensor, "tensor_data_names", ())] or [tensor]
        size += sum(part.nbytes for part in parts)
    return found, size


def glq(calibration: Calibration, params: Mapping[str, Tensor], bits: int) -> Made:
    """Return weights of GLQ's E8 lattice, which takes linear layers alone, with second moments of the same samples."""
    from glq.codebook import E8ShellCodebook
    from glq.quantize_model import quantize_layer_e8_shell_rht

    found, size = {name: tensor.half().float() for name, tensor in params.items()}, 0
    linear = {f"{name}.weight" for name, layer in calibration.module.named_modules() if isinstance(layer, nn.Linear)}
    codebook = E8ShellCodebook(device="cpu")
    moments = calibration.moments(dict(params), linear & params.keys() - {"lm_head.weight"})
    for name, own in moments.items():
        if not isinstance(calibration.module.get_submodule(name.rpartition(".")[0]), nn.Linear):
            continue
        weight, artifacts, _ = quantize_layer_e8_shell_rht(params[name], own.second[0].float(), codebook, bpw=bits)
        found[name] = weight.float()
        size += sum(part.nbytes for part in artifacts.values()) - params[name].numel() * 2
    return found, size + sum(2 * tensor.numel() for tensor in params.values())


def _plain(tensor: Any) -> Tensor:
    """Return what a tensor of a library stands for."""
    back = getattr(tensor, "dequantize", None)
    plain: Tensor = back() if back is not None and type(tensor) not in (Tensor, nn.Parameter) else tensor
    return plain.detach().float()


def _once(module: nn.Module, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state without the further names of tied tensors."""
    tied = dict(module.named_parameters(remove_duplicate=False)).keys() - dict(module.named_parameters()).keys()
    return {name: tensor for name, tensor in stored.items() if not any(name.startswith(one) for one in tied)}


RIVALS: dict[str, Callable[..., Made]] = {"quanto": quanto, "torchao": torchao, "glq": glq}
"""Packages that are asked for by their names, where they are installed."""
