"""How far the outputs of what runs are from those of the decompressed network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from laconic.calibrate.samples import output_rows
from laconic.errors import ExportError
from laconic.training.batches import tensors_in
from laconic.training.judges import Kind, distance


@final
@dataclass(frozen=True)
class Fidelity:
    """Two networks on the same inputs.

    Args:
        samples: that both have seen.
        largest: difference between any two outputs, over the largest output of the decompressed network.
        divergence: KL(decompressed ‖ what runs) in nats a row for logits; for values their squared difference over the
            variance.
        flips: rows of logits whose largest is another; None for values.
        rows: of the first outputs, or of the logits.
    """

    samples: int
    largest: float
    divergence: float
    flips: int | None
    rows: int


def fidelity(pairs: Iterable[tuple[int, Any, list[Tensor]]], kind: Kind | None) -> Fidelity:
    """Return how far outputs are from those that are wanted.

    Args:
        pairs: samples, what the network gives, and the tensors of what runs, in the same order.
        kind: of the outputs; where it is not known, what has the name "logits" or two columns and more is logits.

    Raises:
        ExportError: where outputs differ in number, shape or type, are infinite in one of the two alone, or NaN.
    """
    samples = rows = flips = 0
    difference = reach = lost = 0.0
    found: Kind = "regression"
    for size, given, got in pairs:
        wanted = list(_outputs(given))
        _require_alike(wanted, got)
        for one, other in zip(wanted, got, strict=True):
            if one.is_floating_point() and (finite := one.isfinite()).any():
                difference = max(difference, float((one[finite].double() - other[finite].double()).abs().max()))
                reach = max(reach, float(one[finite].double().abs().max()))
        (a, found), (b, _) = (_rows(given, values, kind) for values in (wanted, got))
        lost += distance(a, b, found) * len(a)
        flips += int((a.argmax(1) != b.argmax(1)).sum()) if found == "classification" else 0
        samples, rows = samples + size, rows + len(a)
    known = flips if found == "classification" else None
    return Fidelity(samples, difference / reach if reach else difference, lost / max(rows, 1), known, rows)


def _outputs(given: Any) -> Iterable[Tensor]:
    """Give the tensors that a network returns."""
    return tensors_in(dict(given) if isinstance(given, Mapping) else given)


def _rows(given: Any, values: list[Tensor], kind: Kind | None) -> tuple[Tensor, Kind]:
    """Return the rows that are compared, and what they are."""
    names = list(given) if isinstance(given, Mapping) else []
    if "logits" in names and kind != "regression":
        return output_rows({"logits": values[names.index("logits")]}, kind)
    first = values[0]
    two = first.ndim == 2 and first.shape[1] > 1
    return output_rows(first, kind or ("classification" if two else "regression"))


def _require_alike(wanted: list[Tensor], got: list[Tensor]) -> None:
    """Raise `ExportError` unless the outputs have the same shapes, and are finite where they should be."""
    shapes = [[tuple(tensor.shape) for tensor in outputs] for outputs in (wanted, got)]
    if shapes[0] != shapes[1]:
        raise ExportError(f"the network gives outputs of shapes {shapes[0]}, and what runs {shapes[1]}")
    for number, (one, other) in enumerate(zip(wanted, got, strict=True)):
        if one.is_floating_point() and bool(one.isnan().any()):
            raise ExportError(
                f"output {number} of the network is NaN for these inputs: nothing can be compared with it"
            )
        infinite = [torch.where(tensor.isfinite(), 0.0, tensor) for tensor in (one, other)]
        if one.is_floating_point() and not torch.equal(*infinite):
            raise ExportError(f"output {number} is not finite in one of the two networks alone")
        if not one.is_floating_point() and not torch.equal(one, other):
            raise ExportError(f"output {number}, of integers, is another in what runs")
