"""Networks quantized by round to nearest and packed as others pack them: GPTQ, AWQ, compressed-tensors, int8 pairs.

Packing follows the published layouts (`laconic.models.quantized` has the sources), and shares no line with laconic.
"""

import numpy as np
import torch
from torch import Tensor

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def asymmetric(weight: Tensor, bits: int, group: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return integers (out, in), zeros and float16 scales (out, groups) of rounding between least and largest."""
    rows = weight.float().reshape(weight.shape[0], -1, group)
    low, high = rows.amin(2).clamp(max=0), rows.amax(2).clamp(min=0)
    scale = ((high - low) / ((1 << bits) - 1)).clamp(min=1e-6).half()
    zero = torch.round(-low / scale.float()).clamp(0, (1 << bits) - 1)
    found = torch.round(rows / scale.float()[..., None] + zero[..., None]).clamp(0, (1 << bits) - 1)
    return found.reshape(weight.shape).int().numpy(), zero.int().numpy(), scale.numpy()


def symmetric(weight: Tensor, bits: int, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Return signed integers (out, in) and bfloat16 scales (out, groups) by the largest magnitude."""
    rows = weight.float().reshape(weight.shape[0], -1, group)
    scale = (rows.abs().amax(2) / ((1 << bits) / 2 - 0.5)).clamp(min=1e-6).bfloat16().float()
    found = torch.round(rows / scale[..., None]).clamp(-(1 << bits - 1), (1 << bits - 1) - 1)
    return found.reshape(weight.shape).int().numpy(), scale.numpy()


def bit_string(integers: np.ndarray, bits: int) -> np.ndarray:
    """Return int32 words (lines, ⌈n · bits / 32⌉) of unsigned integers (lines, n), one after the other."""
    each = (integers[..., None] >> np.arange(bits) & 1).astype(np.uint8).reshape(len(integers), -1)
    padded = np.pad(each, ((0, 0), (0, -each.shape[1] % 32)))
    return np.packbits(padded, axis=1, bitorder="little").view("<i4")


def gptq(weight: Tensor, bits: int = 4, group: int = 128, shuffled: int | None = None) -> dict[str, Tensor]:
    """Return `qweight`, `qzeros` (less 1), `scales` and `g_idx`; columns in a random order of groups, if asked."""
    inputs = weight.shape[1]
    order = np.arange(inputs) if shuffled is None else np.random.default_rng(shuffled).permutation(inputs)
    found, zeros, scales = asymmetric(weight[:, torch.from_numpy(order)], bits, group)
    integers, g_idx = np.empty_like(found), np.empty(inputs, np.int32)
    integers[:, order], g_idx[order] = found, np.arange(inputs) // group
    stored = zeros - 1 & (1 << bits) - 1
    return {
        "qweight": torch.from_numpy(np.ascontiguousarray(bit_string(integers, bits).T)),
        "qzeros": torch.from_numpy(bit_string(np.ascontiguousarray(stored.T), bits)),
        "scales": torch.from_numpy(np.ascontiguousarray(scales.T)),
        "g_idx": torch.from_numpy(g_idx),
    }


def awq(weight: Tensor, group: int = 128) -> dict[str, Tensor]:
    """Return `qweight`, `qzeros` and `scales` of AutoAWQ's GEMM version, 4 bits."""
    integers, zeros, scales = asymmetric(weight, 4, group)

    def packed(matrix: np.ndarray) -> Tensor:  # (rows, out)
        nibbles = matrix.reshape(len(matrix), -1, 8)[..., AWQ_ORDER]
        return torch.from_numpy(bit_string(nibbles.reshape(matrix.shape), 4))

    scaled = torch.from_numpy(np.ascontiguousarray(scales.T))
    return {"qweight": packed(np.ascontiguousarray(integers.T)), "qzeros": packed(zeros.T.copy()), "scales": scaled}


def compressed_tensors(
    weight: Tensor, bits: int = 4, group: int = 128, zero_points: bool = False, dense: bool = True
) -> dict[str, Tensor]:
    """Return `weight_packed`, `weight_scale`, `weight_shape`, with zeros if asked; dense or whole in each word."""
    offset, shape = 1 << bits - 1, torch.tensor(weight.shape)
    if zero_points:
        integers, zeros, scale = asymmetric(weight, bits, group)
        down = np.ascontiguousarray(bit_string(np.ascontiguousarray(zeros.T), bits).T)
        beside = {"weight_scale": torch.from_numpy(scale), "weight_zero_point": torch.from_numpy(down)}
    else:
        signed, scales = symmetric(weight, bits, group)
        integers, beside = signed + offset, {"weight_scale": torch.from_numpy(scales).bfloat16()}
    if not dense:  # fields of a whole number a word, zeros above them
        many = 32 // bits
        padded = np.pad(integers, ((0, 0), (0, -integers.shape[1] % many))).reshape(len(integers), -1, many)
        words = (padded.astype(np.uint32) << (bits * np.arange(many)).astype(np.uint32)).sum(2, dtype=np.uint32)
        return {"weight_packed": torch.from_numpy(words.view(np.int32)), **beside, "weight_shape": shape}
    return {"weight_packed": torch.from_numpy(bit_string(integers, bits)), **beside, "weight_shape": shape}


def int8(weight: Tensor) -> dict[str, Tensor]:
    """Return `weight_q` and `weight_scale`, one float32 for each row."""
    integers, scales = symmetric(weight, 8, weight.shape[1])
    return {"weight_q": torch.from_numpy(integers).to(torch.int8), "weight_scale": torch.from_numpy(scales[:, 0])}


LAYOUTS = {
    "GPTQ, 4 bits": gptq,
    "GPTQ, 3 bits": lambda weight: gptq(weight, bits=3),
    "GPTQ, 4 bits, act order": lambda weight: gptq(weight, shuffled=0),
    "AWQ, 4 bits": awq,
    "compressed-tensors, 4 bits": compressed_tensors,
    "compressed-tensors, 4 bits, zero points": lambda weight: compressed_tensors(weight, zero_points=True),
    "int8 with scales": int8,
}
"""Functions of a matrix (out, in) that return its tensors by the last part of their names."""


def packed(params: dict[str, Tensor], layout: str, embeddings: bool = False) -> dict[str, Tensor]:
    """Return a network with its linear layers packed, all else in float16."""
    out: dict[str, Tensor] = {}
    for name, tensor in params.items():
        prefix, _, last = name.rpartition(".")
        fits = tensor.ndim == 2 and last == "weight" and tensor.shape[0] % 32 == 0 and tensor.shape[1] % 128 == 0
        if fits and (embeddings or "embedding" not in name):
            out |= {f"{prefix}.{part}": found for part, found in LAYOUTS[layout](tensor).items()}
        else:
            out[name] = tensor.half() if tensor.is_floating_point() else tensor
    return out
