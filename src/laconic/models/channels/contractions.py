"""Operations that sum over channels: layers, convolutions, products of activations, attention."""

from typing import Any

import torch
from torch import Tensor

from laconic.models.channels.meaning import Meaning, axes_of, collapsed, fixed, met, narrow, united
from laconic.models.channels.run import Fold, Rule, Run, spread

_STRANGE = "reads what is no output of a layer"


def contracted(run: Run, a: Tensor, at: int, b: Tensor, by: int) -> tuple[list[Tensor], list[Tensor]]:
    """Unite what is multiplied and summed along axis ``at`` of ``a`` and ``by`` of ``b``; return what is left of each.

    A channel that is labelled along this axis alone is read, unless it is 0 on one side; of one that is labelled along
    others as well, such as (head, place), the place is summed over and the head stays.
    """
    atoms, one, other = run.atoms, run.meaning(a), run.meaning(b)
    first = [family for family in one.families if at in axes_of(family)]
    second = [family for family in other.families if by in axes_of(family)]
    if first and second:
        width = a.shape[at]
        mine, theirs = (f[0].movedim(axis, -1).reshape(-1, width) for f, axis in ((first, at), (second, by)))
        if len(mine) == len(theirs) or 1 in (len(mine), len(theirs)):
            atoms.unite(mine, theirs)
        else:
            fixed(atoms, (one, other), frozenset({at, by}), _STRANGE)
    else:
        for family in (*first, *second):
            atoms.pin(family, _STRANGE)
    read = ~(run.is_zero(a, at) | run.is_zero(b, by))
    for family, axis in [*((f, at) for f in first), *((f, by) for f in second)]:
        if axes_of(family) == {axis}:
            atoms.need(family.reshape(-1)[read].tolist())
    return (
        [collapsed(atoms, f, frozenset({at})) for f in one.families if axes_of(f) != {at}],
        [collapsed(atoms, f, frozenset({by})) for f in other.families if axes_of(f) != {by}],
    )


def _column(run: Run, tensor: Tensor, axis: int) -> Tensor:
    """Return which entries along an axis do not depend on the input, bool of shape (n,)."""
    others = tuple(other for other in range(tensor.ndim) if other != axis)
    const = run.meaning(tensor).const.expand(tensor.shape)
    return const.all(others) if others else const


def _written(inputs: Tensor, weight: Tensor) -> Tensor:
    """Return which outputs are constant where ``inputs`` (n,) are, and ``weight`` (outputs, n, …) is so."""
    alive = weight.flatten(2).ne(0).any(2) if weight.ndim > 2 else weight.ne(0)
    return ~alive[:, ~inputs].any(1)


def product(run: Run, a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None = None) -> None:
    """Say what a product of two matrices means."""
    left, right = contracted(run, a, 1, b, 0)
    const = torch.zeros(1, 1, dtype=torch.bool)
    if bool(run.meaning(b).const.all()):
        const = _written(_column(run, a, 1), b.T)[None]
    elif bool(run.meaning(a).const.all()):
        const = _written(_column(run, b, 0), a)[:, None]
    made = Meaning(united(run.atoms, [*left, *right]), narrow(const))
    run.put(out, made if bias is None else met(run.atoms, [(made, out), (run.meaning(bias), bias)]))
    if bool(run.meaning(b).const.all()):
        _note_layer(run, a, b.T, run.meaning(b).along(0), bias, foldable=True)


def _note_layer(
    run: Run, inputs: Tensor, weight: Tensor, columns: Tensor | None, bias: Tensor | None, *, foldable: bool
) -> None:
    """Note what a layer reads that is constant, and which of the numbers it reads that no layer writes.

    Args:
        run: the run.
        inputs: channels along axis 1.
        weight: shape (outputs, inputs, …).
        columns: atoms of its inputs.
        bias: shape (outputs,).
        foldable: whether every output sees the constants alike: there is no padding.
    """
    slots = [run.atoms.slots.get(atom) for atom in (columns.tolist() if columns is not None else ())]
    if len({slot and slot[:2] for slot in slots}) != 1 or slots[0] is None:
        return
    name, along, _ = slots[0]
    indices = [slot.at for slot in slots if slot]
    used = weight.flatten(2).ne(0).any(2).any(0) if weight.ndim > 2 else weight.ne(0).any(0)
    if run.meaning(inputs).along(1) is None:
        if indices == list(range(len(used))):
            run.unread[name] = along, used
        return
    own = run.names.get(id(bias), "")
    if not foldable or bias is None or not own:
        return
    values = inputs.movedim(1, 0).flatten(1)
    even = _column(run, inputs, 1) & (values == values[:, :1]).all(1) & (values[:, 0] != 0) & used
    if bool(even.any()):
        sums = weight.double().flatten(2).sum(2) if weight.ndim > 2 else weight.double()
        folded = tuple(indices[i] for i in even.nonzero().reshape(-1).tolist())
        run.folds.append(Fold(name, along, folded, own, sums[:, even] @ values[even, 0].double()))


def _mm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    product(run, args[0], args[1], out)


def _addmm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    if kwargs or len(args) > 3:  # scaled
        run.forget("addmm with factors", (args, kwargs), out)
    else:
        product(run, args[1], args[2], out, args[0])


def _bmm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    a, b = args[:2]
    left, right = contracted(run, a, 2, b, 1)
    known = bool(run.meaning(a).const.all()) and bool(run.meaning(b).const.all())
    zero = run.is_zero(b, 2)[None, None] if b.shape[2] > 1 else torch.zeros(1, 1, 1, dtype=torch.bool)
    run.put(out, Meaning(united(run.atoms, [*left, *right]), narrow(zero | known)))


def _convolution(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    inputs, weight, bias, _, padding, _, transposed, _, groups = args[:9]
    if groups > 1:
        return _grouped(run, inputs, weight, bias, out, groups, transposed=transposed)
    rows, columns = (1, 0) if transposed else (0, 1)
    left, right = contracted(run, inputs, 1, weight, columns)
    laid = weight.transpose(0, 1) if transposed else weight
    const = spread(_written(_column(run, inputs, 1), laid), 1, out.ndim)
    families = [*left, *(spread(f.reshape(-1), 1, out.ndim) for f in right if axes_of(f) == {rows})]
    fixed(run.atoms, [run.meaning(weight)], frozenset(range(2, weight.ndim)), "is a place in a kernel")
    _biased(run, out, Meaning(united(run.atoms, families), narrow(const)), bias)
    if not transposed:
        _note_layer(run, inputs, weight, run.meaning(weight).along(1), bias, foldable=not any(padding))
    return None


def _biased(run: Run, out: Tensor, meaning: Meaning, bias: Tensor | None) -> None:
    """Say what the outputs of a convolution mean, its bias added."""
    if bias is not None:
        meaning = met(run.atoms, [(meaning, out), _vector(run, bias, 1, out.ndim)])
    run.put(out, meaning)


def _vector(run: Run, vector: Tensor, axis: int, ndim: int) -> tuple[Meaning, Tensor]:
    """Return a vector as an operand that lies along one axis of ``ndim``."""
    meaning = run.meaning(vector)
    families = tuple(spread(f, axis, ndim) for f in meaning.families)
    const = spread(meaning.const.expand(vector.shape), axis, ndim)
    return Meaning(families, const), spread(vector, axis, ndim)


def _grouped(
    run: Run, inputs: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, groups: int, *, transposed: bool
) -> None:
    """Say what a grouped convolution means: what goes into a group and what comes out of it is one."""
    atoms, given, filters = run.atoms, run.meaning(inputs), run.meaning(weight)
    fixed(atoms, [filters], frozenset(range(1, weight.ndim)), "is read by every group alike")
    read, rows = given.along(1), filters.along(0)
    if transposed or read is None or rows is None:
        fixed(atoms, [given, filters], frozenset({0, 1}), "goes into groups of which shrinking knows nothing")
        families = () if rows is None or transposed else (spread(rows, 1, out.ndim),)
        return _biased(run, out, Meaning(families, torch.zeros((1,) * out.ndim, dtype=torch.bool)), bias)
    ins, outs = read.reshape(groups, -1), rows.reshape(groups, -1)
    whole = torch.cat([ins, outs], 1)
    atoms.unite(whole[:, :1], whole)
    run.groups[run.names.get(id(weight), "")] = groups
    alive = (weight.flatten(1).ne(0).any(1)).reshape(groups, -1)
    const = (_column(run, inputs, 1).reshape(groups, -1).all(1)[:, None] | ~alive).reshape(-1)
    _biased(run, out, Meaning((spread(rows, 1, out.ndim),), narrow(spread(const, 1, out.ndim))), bias)


def _attention(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Heads along axis 1 of query, key and value; so many heads of queries share one of keys."""
    query, key, value = args[:3]
    result = out[0] if isinstance(out, tuple | list) else out
    atoms, whole = run.atoms, []
    for tensor in (query, key):
        families = run.meaning(tensor).families
        heads = [collapsed(atoms, f, frozenset({2, 3})) for f in families if axes_of(f) != {3}]
        for family in families:
            if axes_of(family) == {3}:
                atoms.pin(family, "is a place in every head alike")
        whole += [_repeated(f, query.shape[1]) for f in heads if 1 in axes_of(f)]
    values = [_repeated(f, query.shape[1]) for f in run.meaning(value).families]
    for tensor, _ in run.seen((args[3:], kwargs)):
        if tensor.ndim == 4 and tensor.shape[1] > 1:
            for family in (*whole, *values):
                atoms.pin(family, "has a mask for each head")
    together = united(atoms, [*values, *whole])
    zero = narrow((value == 0) & run.meaning(value).const)
    const = zero if zero.numel() == 1 else _repeated(zero.all(0, keepdim=True).all(2, keepdim=True), query.shape[1])
    run.put(result, Meaning(together, narrow(const)))


def _repeated(labels: Tensor, heads: int) -> Tensor:
    """Return labels of heads of keys as those of the queries that share them."""
    if labels.shape[1] in (1, heads):
        return labels
    return labels.repeat_interleave(heads // labels.shape[1], 1)


def _embedding(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
    weight = args[0]
    meaning = run.meaning(weight)
    fixed(run.atoms, [meaning], frozenset({0}), "is looked up by its number")
    columns = meaning.along(1)
    alike = spread((weight == weight[:1]).all(0), out.ndim - 1, out.ndim) & meaning.const.all()
    run.put(out, Meaning(() if columns is None else (spread(columns, out.ndim - 1, out.ndim),), narrow(alike)))


CONTRACTIONS: dict[str, Rule] = {
    "mm": _mm,
    "addmm": _addmm,
    "bmm": _bmm,
    "convolution": _convolution,
    "embedding": _embedding,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
}
"""Operation of ATen → what it does to channels."""
