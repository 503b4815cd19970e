"""Codes as differentiable functions of the real numbers in them, every choice fixed.

    w = Δ(θ)   of leaves θ: entries, scales, survivors, factors, steps

What trains these numbers, and what runs a compressed network in torch, needs a code in this form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial, reduce, singledispatch
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.format.codes import (
    CanonicalCode,
    Code,
    CodebookCode,
    DenseCode,
    DrawnCode,
    GridCode,
    GroupedCode,
    HashedCode,
    LowRankCode,
    PackedCode,
    SparseCode,
    SumCode,
    TileSparseCode,
    TuckerCode,
    Values,
)
from laconic.format.codes.cosine import basis
from laconic.format.codes.low_rank import VIEWS
from laconic.format.codes.sharing import unshared
from laconic.format.coding.payload import moved
from laconic.models.params import Params, to_numpy, to_torch


@final
@dataclass(frozen=True, eq=False)
class FreeParameters:
    """Codes in training: real numbers as leaves, every choice fixed.

    Args:
        leaves: what an optimizer moves, by a name of no meaning; in float32 at least.
        weights: gives Δ(Θ) of the leaves as they are, by name, differentiable: a codebook's entry gathers the sum of
            its weights' gradients.
        codes: gives the codes of the leaves as they are; to be called once, at the end.
    """

    leaves: Mapping[str, Tensor]
    weights: Callable[[], Params]
    codes: Callable[[], dict[str, Code]]


def free_parameters(codes: Mapping[str, Code]) -> FreeParameters:
    """Return the direct reparametrisation of weights by the free numbers of their codes, for a loop of one's own.

    >>> from laconic import FixedAssignments
    >>> tied = FixedAssignments({"w": np.array([0, 0, 1])}).project({"w": torch.tensor([1.0, 3.0, 5.0])})
    >>> free = free_parameters(tied)
    >>> (free.weights()["w"] * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    >>> [leaf.grad for leaf in free.leaves.values()]
    [tensor([ 11., 100.])]
    """
    leaves = Leaves()
    forms = {name: free(code, leaves) for name, code in unshared(codes).items()}

    def weights() -> Params:
        return {name: form.build().to(getattr(torch, codes[name].dtype)) for name, form in forms.items()}

    named = {str(number): leaf for number, leaf in enumerate(leaves.tensors())}
    return FreeParameters(named, weights, lambda: {name: form.freeze() for name, form in forms.items()})


@final
class Leaves:
    """The numbers being trained: one leaf for each stored array, however many codes share it."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Values, Tensor]] = {}
        self._factors: dict[int, tuple[Values, Tensor]] = {}
        self._frozen: dict[int, Values] = {}
        self._nested: dict[int, tuple[Code, Form]] = {}

    def leaf(self, values: Values) -> Tensor:
        """Return the leaf of ``values``, in float32 at least."""
        if id(values) not in self._made:
            tensor = to_torch(values.array)
            wide = tensor.to(torch.promote_types(tensor.dtype, torch.float32)) if tensor.is_floating_point() else tensor
            self._made[id(values)] = values, wide.requires_grad_(wide.is_floating_point())
        return self._made[id(values)][1]

    def nested(self, code: Code) -> "Form":
        """Return the form of a code within others: one form, and in the end one code, for all that share it."""
        if id(code) not in self._nested:
            form = free(code, self)
            self._nested[id(code)] = code, Form(form.build, cache(form.freeze))
        return self._nested[id(code)][1]

    def scaled(self, values: Values) -> Tensor:
        """Return ``values`` times a leaf that begins at 1: for a step, of which a learning rate should be a share."""
        tensor = to_torch(values.array)
        if id(values) not in self._factors:
            self._factors[id(values)] = values, torch.ones_like(tensor).requires_grad_()
        return tensor * self._factors[id(values)][1]

    def frozen(self, values: Values) -> Values:
        """Return the trained numbers that take the place of ``values``, in its dtype: the same object for all."""
        if id(values) not in self._frozen:
            trained = self._made[id(values)][1] if id(values) in self._made else self.scaled(values)
            dtype = to_torch(values.array[:0]).dtype
            self._frozen[id(values)] = Values(to_numpy(trained.detach().to(dtype)).copy())
        return self._frozen[id(values)]

    def tensors(self) -> list[Tensor]:
        """Return the leaves that training moves."""
        leaves = [tensor for _, tensor in (*self._made.values(), *self._factors.values())]
        return [tensor for tensor in leaves if tensor.requires_grad]


@final
@dataclass(frozen=True)
class Form:
    """A code in training: `build` makes the weights from the leaves, `freeze` the code from what they have become."""

    build: Callable[[], Tensor]
    freeze: Callable[[], Code]


@singledispatch
def free(code: Code, leaves: Leaves) -> Form:
    """Return ``code`` as a function of its leaves."""
    raise AssertionError(f"no free form of {type(code).__name__}")


@free.register
def _dense(code: DenseCode, leaves: Leaves) -> Form:
    leaf = leaves.leaf(code.values)
    return Form(
        lambda: leaf.view(code.shape),
        lambda: replace(code, values=leaves.frozen(code.values)),
    )


@free.register
def _packed(code: PackedCode, leaves: Leaves) -> Form:
    words = to_torch(code.decompress())
    return Form(lambda: words, lambda: code)


@free.register
def _codebook(code: CodebookCode, leaves: Leaves) -> Form:
    leaf = leaves.leaf(code.codebook)
    indices = torch.from_numpy(code.indices.array.astype("int64"))
    return Form(
        lambda: leaf.index_select(0, indices).view(code.shape),
        lambda: replace(code, codebook=leaves.frozen(code.codebook)),
    )


@free.register
def _grouped(code: GroupedCode, leaves: Leaves) -> Form:
    indices = torch.from_numpy(code.indices.array.astype("int64"))
    group = torch.arange(code.size) // code.length if code.length else torch.zeros(code.size, dtype=torch.int64)
    entries = leaves.leaf(code.codebook) if code.own else to_torch(code.codebook.array)
    places = group * code.indices.alphabet + indices if code.own else indices

    def build() -> Tensor:
        values = entries.index_select(0, places)
        scaled = values * leaves.leaf(code.scales).index_select(0, group) if len(code.scales) else values
        return scaled.view(code.shape)

    build()  # makes the leaves
    return Form(
        build,
        lambda: replace(
            code,
            codebook=leaves.frozen(code.codebook) if code.own else code.codebook,
            scales=leaves.frozen(code.scales) if len(code.scales) else code.scales,
        ),
    )


@free.register
def _grid(code: GridCode, leaves: Leaves) -> Form:
    leaves.scaled(code.step)
    levels = torch.from_numpy(moved(code.levels, code.coder.model.offsets)).view(code.shape)
    levels = levels * torch.from_numpy(code.fineness)
    for axis in range(2, len(code.shape) if code.transform == "cosine" else 0):
        cosines = torch.from_numpy(basis(code.shape[axis]))
        levels = torch.tensordot(levels, cosines, ([axis], [0])).movedim(-1, axis)
    return Form(
        lambda: leaves.scaled(code.step).view(code.step_shape) * levels,
        lambda: replace(code, step=leaves.frozen(code.step)),
    )


@free.register
def _sparse(code: SparseCode, leaves: Leaves) -> Form:
    return _scattered(code, code.mask.array, leaves)


@free.register
def _tiles(code: TileSparseCode, leaves: Leaves) -> Form:
    return _scattered(code, code.kept(), leaves)


def _scattered(code: SparseCode | TileSparseCode, mask: np.ndarray, leaves: Leaves) -> Form:
    """Return the form of values that are scattered over what ``mask`` keeps."""
    inner = free(code.values, leaves)
    positions = torch.from_numpy(np.flatnonzero(mask))

    def build() -> Tensor:
        values = inner.build().reshape(-1)
        return torch.zeros(code.size, dtype=values.dtype).index_copy(0, positions, values).view(code.shape)

    return Form(build, lambda: replace(code, values=inner.freeze()))


@free.register
def _hashed(code: HashedCode, leaves: Leaves) -> Form:
    values, groups = leaves.nested(code.values), torch.from_numpy(code.groups)
    return Form(
        lambda: values.build().index_select(0, groups).view(code.shape),
        lambda: replace(code, values=values.freeze()),
    )


@free.register
def _drawn(code: DrawnCode, leaves: Leaves) -> Form:
    leaves.scaled(code.scale)
    integers = torch.from_numpy(code.integers()).view(code.shape)
    return Form(
        lambda: leaves.scaled(code.scale) * integers,
        lambda: replace(code, scale=leaves.frozen(code.scale)),
    )


@free.register
def _low_rank(code: LowRankCode, leaves: Leaves) -> Form:
    left, right = free(code.left, leaves), free(code.right, leaves)
    shape = partial(_tensor_of, shape=code.shape, view=code.view)
    return Form(
        lambda: shape(_product(left.build(), right.build())),
        lambda: replace(code, left=left.freeze(), right=right.freeze()),
    )


@free.register
def _sum(code: SumCode, leaves: Leaves) -> Form:
    terms = [free(term, leaves) for term in code.terms]
    return Form(
        lambda: reduce(torch.add, [term.build() for term in terms]),
        lambda: replace(code, terms=tuple(term.freeze() for term in terms)),
    )


@free.register
def _tucker(code: TuckerCode, leaves: Leaves) -> Form:
    left, core, right = (free(part, leaves) for part in (code.left, code.core, code.right))
    return Form(
        lambda: torch.einsum("oa,ab...,bi->oi...", left.build(), core.build(), right.build()),
        lambda: replace(code, left=left.freeze(), core=core.freeze(), right=right.freeze()),
    )


@free.register
def _canonical(code: CanonicalCode, leaves: Leaves) -> Form:
    factors = free(code.factors, leaves)

    def build() -> Tensor:
        matrices = torch.split(factors.build(), list(code.shape))
        terms = matrices[0]
        for matrix in matrices[1:]:
            terms = terms[..., None, :] * matrix
        return terms.sum(-1)

    return Form(build, lambda: replace(code, factors=factors.freeze()))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return the product of two factors, of which one may be wider: grids are built in float64."""
    wide = torch.promote_types(left.dtype, right.dtype)
    return left.to(wide) @ right.to(wide)


def _tensor_of(matrix: Tensor, shape: tuple[int, ...], view: str) -> Tensor:
    """Return the tensor of ``shape`` whose ``view`` is ``matrix``; `codes.low_rank.from_matrix` in torch."""
    if view == VIEWS[0]:
        return matrix.view(shape)
    out, in_, kh, kw = shape
    if view == VIEWS[1]:
        return matrix.view(out, kh, in_, kw).transpose(1, 2)
    return matrix.view(out, kw, in_, kh).permute(0, 2, 3, 1)
