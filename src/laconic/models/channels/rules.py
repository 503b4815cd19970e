"""Operations that put elements elsewhere, take them one by one, or normalize them."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from laconic.models.channels.contractions import CONTRACTIONS
from laconic.models.channels.meaning import Meaning, axes_of, collapsed, constant, fixed, met, narrow, united
from laconic.models.channels.run import Divided, Padded, Rule, Run, spread
from laconic.models.wiring import tensors_in


def _move(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Let labels go where the elements go: the operation itself puts them there."""
    meaning, shape, name = run.meaning(args[0]), args[0].shape, func._schema.name.removeprefix("aten::")
    outputs = list(tensors_in(out))
    for number, tensor in enumerate(outputs):

        def move(labels: Tensor, number: int = number) -> Tensor:
            if name in ("view", "_unsafe_view"):  # labels are expanded, and no view of them may have the shape
                return labels.reshape(args[1])
            return list(tensors_in(func(labels, *args[1:], **kwargs)))[number]

        made = meaning.moved(run.atoms, shape, move)
        run.put(tensor, made)
        for family in made.families if name == "view" and run.path else ():
            for axis in axes_of(family) if len(axes_of(family)) > 1 else ():
                first = family.movedim(axis, 0).reshape(family.shape[axis], -1)[:, 0]
                run.divided.append(Divided(run.path[-1], first))


def _same(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    run.put(out, run.meaning(args[0]))


def _elementwise(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    operands = [(meaning, tensor) for tensor, meaning in run.seen((args, kwargs))]
    for result in tensors_in(out):
        if not operands:
            run.put(result, constant(result.ndim))
            continue
        meaning = met(run.atoms, operands)
        if func._schema.name.startswith("aten::mul"):
            zeros = [m.const & (t == 0) for m, t in operands]
            known = reduce(torch.logical_or, zeros, meaning.const)
            meaning = Meaning(meaning.families, narrow(known))
        run.put(result, meaning)


def _created(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    for tensor in tensors_in(out):
        run.put(tensor, constant(tensor.ndim))


def _cat(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    parts = [part for part in args[0] if part.numel()]
    axis = int(args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.ndim
    meanings = [run.meaning(part) for part in parts]
    const = torch.cat([m.const.expand(p.shape) for m, p in zip(meanings, parts, strict=True)], axis)
    along = [[f for f in m.families if axis in axes_of(f)] for m in meanings]
    others = [f for m in meanings for f in m.families if axis not in axes_of(f)]
    families = list(others)
    if any(along):
        pieces = []
        for part, found in zip(parts, along, strict=True):
            label = found[0] if found else spread(run.atoms.fresh(part.shape[axis]), axis, part.ndim)
            if not found:
                run.atoms.pin(label, "lies beside channels of a layer, but is none")
            pieces.append(label)
        shape = [max(piece.shape[d] for piece in pieces) for d in range(out.ndim)]
        wide = [p.expand(*shape[:axis], p.shape[axis], *shape[axis + 1 :]) for p in pieces]
        families.append(torch.cat(wide, axis))
    run.put(out, Meaning(united(run.atoms, families), narrow(const)))


def _pad(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    """Zeros beside channels are channels of their own."""
    inputs, amounts = args[0], list(args[1])
    meaning, families = run.meaning(inputs), []
    sides = {inputs.ndim - 1 - k: (amounts[2 * k], amounts[2 * k + 1]) for k in range(len(amounts) // 2)}
    for family in meaning.families:
        padded = [axis for axis in axes_of(family) if any(sides.get(axis, (0, 0)))]
        if padded and (len(axes_of(family)) > 1 or min(sides[padded[0]]) < 0):
            run.atoms.pin(family, "is padded in a way that shrinking does not know")
            continue
        for axis in padded:
            before, behind = (run.atoms.fresh(amount) for amount in sides[axis])
            run.padded.append(Padded(before, family.reshape(-1), behind))
            family = spread(torch.cat([before, family.reshape(-1), behind]), axis, inputs.ndim)
        families.append(family)
    const = torch.ones(inputs.shape, dtype=torch.bool) & meaning.const
    value = float(args[2] if len(args) > 2 else kwargs.get("value", 0))
    padded_const = torch.nn.functional.pad(const, amounts, value=True)
    zero = run.is_zero(inputs, 1) if inputs.ndim > 1 and value == 0 else None
    if zero is not None and zero.any() and not any(sides.get(1, (0, 0))):
        padded_const = padded_const | spread(zero, 1, out.ndim)
    run.put(out, Meaning(tuple(families), narrow(padded_const)))


def _reduced(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Means and sums: a channel that is summed over cannot go; of places in a head, that are, the head can."""
    inputs, meaning = args[0], run.meaning(args[0])
    given = args[1] if len(args) > 1 and args[1] is not None else kwargs.get("dim")
    dims = range(inputs.ndim) if given is None or given == [] else [given] if isinstance(given, int) else list(given)
    axes = frozenset(int(axis) % max(inputs.ndim, 1) for axis in dims)
    families = []
    for family in meaning.families:
        if axes_of(family) <= axes:
            run.atoms.pin(family, f"is taken together with the others by {func._schema.name.removeprefix('aten::')}")
        else:
            families.append(collapsed(run.atoms, family, axes))
    const = meaning.const.expand(inputs.shape).all(tuple(axes), keepdim=True) if axes else meaning.const
    for result in tensors_in(out):
        gone = sorted(axes, reverse=True) if result.ndim < inputs.ndim else ()

        def squeezed(labels: Tensor, gone: Sequence[int] = gone) -> Tensor:
            for axis in gone:
                labels = labels.squeeze(axis)
            return labels

        kept = tuple(map(squeezed, families)) if result.ndim else ()
        shape = const if result.ndim == inputs.ndim else squeezed(const)
        if shape.ndim != result.ndim:
            return run.forget(func._schema.name, args, out)
        run.put(result, Meaning(kept, narrow(shape)))
    return None


def _softmax(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    inputs, axis = args[0], int(args[1]) % args[0].ndim
    meaning, families = run.meaning(inputs), []
    for family in meaning.families:
        if axes_of(family) == {axis}:
            run.atoms.pin(family, "is in a softmax")
        else:
            families.append(collapsed(run.atoms, family, frozenset({axis})))
    const = meaning.const.expand(inputs.shape).all(axis, keepdim=True)
    run.put(out, Meaning(united(run.atoms, families), narrow(const)))


def _pooled(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    inputs, meaning = args[0], run.meaning(args[0])
    places = frozenset(range(2 if inputs.ndim > 3 else 1, inputs.ndim))
    fixed(run.atoms, [meaning], places, "is a place that pooling takes together with others")
    families = tuple(f for f in meaning.families if not axes_of(f) & places)
    const = meaning.const.expand(inputs.shape).all(tuple(places), keepdim=True)
    for result in tensors_in(out):
        run.put(result, Meaning(families, narrow(const)))


def _batch_norm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    inputs, result = args[0], next(tensors_in(out))
    operands = [(run.meaning(inputs), inputs)]
    operands += [_along(run, vector, 1, inputs.ndim) for vector in args[1:5] if isinstance(vector, Tensor)]
    meaning = met(run.atoms, operands)
    run.put(result, _scaled_away(meaning, args[1], 1, result))


def _along(run: Run, vector: Tensor, axis: int, ndim: int) -> tuple[Meaning, Tensor]:
    """Return a vector as an operand along one axis of ``ndim``."""
    meaning = run.meaning(vector)
    families = tuple(spread(f, axis, ndim) for f in meaning.families)
    return Meaning(families, spread(meaning.const.expand(vector.shape), axis, ndim)), spread(vector, axis, ndim)


def _scaled_away(meaning: Meaning, scale: Any, axis: int, result: Tensor) -> Meaning:
    """Return the meaning of what a scale has multiplied: where that is 0 the shift is left, a constant."""
    if not isinstance(scale, Tensor):
        return meaning
    return Meaning(meaning.families, narrow(meaning.const | spread(scale == 0, axis, result.ndim)))


def _group_norm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """A group is normalized as one: whole groups stay or go."""
    inputs, scale, shift, _, channels, _, groups = args[:7]
    result, atoms = next(tensors_in(out)), run.atoms
    meaning = Meaning(run.meaning(inputs).families, torch.zeros((1,) * inputs.ndim, dtype=torch.bool))
    operands = [(meaning, inputs)]
    operands += [_along(run, vector, 1, inputs.ndim) for vector in (scale, shift) if isinstance(vector, Tensor)]
    meaning = met(atoms, operands, torch.zeros((1,) * inputs.ndim, dtype=torch.bool))
    labels = meaning.along(1)
    if labels is not None:
        each = labels.reshape(groups, channels // groups)
        atoms.unite(each[:, :1], each)
        run.divided.append(Divided(run.path[-1], each[:, 0]))
        if groups == 1:
            atoms.pin(labels, "is normalized with all other channels")
    run.put(result, _scaled_away(meaning, scale, 1, result))


def _layer_norm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    inputs, shape = args[0], list(args[1])
    vectors = [v for v in args[2:4] if isinstance(v, Tensor)]
    meaning = met(run.atoms, [(run.meaning(inputs), inputs), *((run.meaning(v), v) for v in vectors)])
    last = frozenset(range(inputs.ndim - len(shape), inputs.ndim))
    fixed(run.atoms, [meaning], last, "is normalized with all other channels")
    none = Meaning(meaning.families, torch.zeros((1,) * inputs.ndim, dtype=torch.bool))
    first, *others = tensors_in(out)
    run.put(first, _scaled_away(none, vectors[0], -1, first) if vectors and len(shape) == 1 else none)
    for other in others:
        run.put(other, Meaning((), torch.zeros((1,) * other.ndim, dtype=torch.bool)))


_MOVES = (
    "view _unsafe_view reshape _reshape_alias transpose t permute unsqueeze squeeze select slice expand split "
    "split_with_sizes unbind chunk flip roll repeat index_select pixel_shuffle pixel_unshuffle channel_shuffle "
    "diagonal narrow movedim unfold"
)
_SAME = "clone detach alias _to_copy contiguous lift_fresh positive copy"
_CREATED = (
    "zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty arange zeros "
    "ones full empty scalar_tensor"
)
_POOLED = (
    "max_pool1d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d upsample_linear1d"
)

RULES: dict[str, Rule] = {
    **CONTRACTIONS,
    **dict.fromkeys(_MOVES.split(), _move),
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_CREATED.split(), _created),
    **dict.fromkeys(_POOLED.split(), _pooled),
    **dict.fromkeys("mean sum amax amin max min var std prod any all argmax logsumexp".split(), _reduced),
    **dict.fromkeys(("_softmax", "_log_softmax", "cumsum"), _softmax),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"), _batch_norm),
    "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
    **dict.fromkeys(("hardswish", "_prelu_kernel"), _elementwise),  # which torch does not say of them
    "cat": _cat,
    "constant_pad_nd": _pad,
}
"""Operation of ATen → its rule; what is not here is read element by element if torch says so, or not known."""


def applied(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Say what the outputs of an operation mean."""
    name = func._schema.name.removeprefix("aten::")
    pointwise = torch.Tag.pointwise in func.tags
    rule = RULES.get(name) or RULES.get(name.removesuffix("_")) or (_elementwise if pointwise else None)
    if rule is None or (rule is _reduced and "dim" not in str(func._schema) and not name.startswith(("mean", "sum"))):
        run.forget(name, (args, kwargs), out)
    else:
        rule(run, func, args, kwargs, out)
