"""One point of a curve: compress, count, evaluate, sample by sample."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from laconic.api import compress
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.keep_largest import KeepLargest
from laconic.experiments.recipes.gao2019.experiment import Subject
from laconic.experiments.recipes.gao2019.methods import Method, metrics_of
from laconic.models.params import Params
from laconic.training.task import Task, mode

_BITS = 32


@final
@dataclass(frozen=True)
class Technique:
    """A way to compress whose strength is one number, the same for every layer.

    Args:
        name: "pruning" or "quantization".
        strength: what the number is.
        compression: number → compression.
        share: (weights with two or more axes, what became of them) → compressed over original size, as the paper
            counts.
    """

    name: str
    strength: str
    compression: Callable[[float], Compression]
    share: Callable[[Params, Params], float]


def kept_share(weights: Params, compressed: Params) -> float:
    """Return the share of the weights that are not zero: the paper charges nothing for where they are.

    >>> kept_share({"w": torch.ones(4)}, {"w": torch.tensor([1.0, 0.0, 0.0, 2.0])})
    0.5
    """
    kept = sum(int(tensor.count_nonzero()) for tensor in compressed.values())
    return kept / sum(tensor.numel() for tensor in weights.values())


def clustered_share(weights: Params, compressed: Params) -> float:
    """Return `Σ_t (Σ_j m_tj ⌈log₂(m_t/m_tj)⌉ + 32 k_t) / Σ_t 32 m_t`, m_tj weights of tensor t in cluster j of k_t.

    The paper says Huffman code and writes these lengths, which are Shannon's: no Huffman code is longer.

    >>> clustered_share({"w": torch.ones(8)}, {"w": torch.tensor([1.0, 1, 1, 1, 2, 2, 3, 3])})  # 4·1 + 4·2 + 3·32
    0.421875
    """
    bits = 0
    for tensor in compressed.values():
        counts = torch.unique(tensor, return_counts=True)[1].numpy()
        lengths = [_ceil_log2(int(counts.sum()), int(count)) for count in counts]
        bits += int(counts @ np.array(lengths, np.int64)) + _BITS * len(counts)
    return bits / (_BITS * sum(tensor.numel() for tensor in weights.values()))


def _ceil_log2(whole: int, part: int) -> int:
    """Return ⌈log₂(whole/part)⌉, exactly."""
    length = 0
    while part << length < whole:
        length += 1
    return length


TECHNIQUES: Mapping[str, Technique] = MappingProxyType(
    {
        "pruning": Technique("pruning", "share kept", lambda value: KeepLargest(keep=value), kept_share),
        "quantization": Technique(
            "quantization", "clusters", lambda value: AdaptiveCodebook(int(value)), clustered_share
        ),
    }
)


@final
@dataclass(frozen=True, eq=False)
class Point:
    """One compressed network.

    Args:
        figures: value, share, bytes, loss and accuracy; plain numbers.
        losses: cross entropy of each sample, in nats, shape (samples,).
        errors: 1 where the largest output is not the target, shape (samples,).
    """

    figures: Mapping[str, Any]
    losses: np.ndarray
    errors: np.ndarray


def measured(
    subject: Subject, technique: Technique, method: Method, setting: float | None, value: float, split: str
) -> Point:
    """Return the point of one curve, computed once in the life of the folder.

    Args:
        subject: the network.
        technique: pruning or quantization.
        method: the metric.
        setting: of the method's option.
        value: strength of the compression.
        split: "validation" or "test".
    """

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        compression = technique.compression(value)
        metrics = metrics_of(subject, method, setting)
        params = {name: tensor.cpu() for name, tensor in subject.params.items()}
        result = compress(params, compression, metrics=metrics, metadata=subject.task.metadata)
        weights = {name: tensor for name, tensor in params.items() if tensor.ndim >= 2}
        compressed = result.params
        share = technique.share(weights, {name: compressed[name] for name in weights})
        size = {"file_bytes": result.file_bytes} if split == "test" else {}
        judged = sample_by_sample(subject.task, compressed, split)
        return {"value": value, "share": share, **size}, judged

    key = f"{subject.label}/{technique.name}/{method.name}/{setting}/{value}/{split}"
    return _point(*subject.context.cache.point(key, compute))


def uncompressed(subject: Subject, split: str) -> Point:
    """Return the network as it is."""
    key = f"{subject.label}/uncompressed/{split}"
    return _point(
        *subject.context.cache.point(key, lambda: ({}, sample_by_sample(subject.task, subject.params, split)))
    )


def sample_by_sample(task: Task, params: Params, split: str) -> dict[str, Tensor]:
    """Return "losses" and "errors" of every sample of a split, in its order, float32."""
    losses, errors = [], []
    with torch.no_grad(), mode(task.module, training=False):
        for batch in task.batches(split, 0):
            here = {name: tensor.to(batch[0].device) for name, tensor in params.items()}
            outputs = task.outputs(here, batch)
            losses.append(F.cross_entropy(outputs.float(), batch[1], reduction="none").cpu())
            errors.append(outputs.argmax(1).ne(batch[1]).float().cpu())
    return {"losses": torch.cat(losses), "errors": torch.cat(errors)}


def _point(figures: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Point:
    """Return the point of what the cache keeps."""
    losses, errors = (tensors[key].double().numpy() for key in ("losses", "errors"))
    means = {"loss": round(float(losses.mean()), 6), "accuracy": round(1 - float(errors.mean()), 6)}
    return Point({**figures, **means}, losses, errors)
