"""A compressed network as a module of torch that holds its weights as they are in the file, where a layer can run so.

    factored     y = L (R x) + b           where that is fewer multiply-adds; of convolutions also three or four
    few values   y = c[κ] x + b            a byte an index; the matrix is made anew in each call
    sparse       y = S x + b               S in compressed rows, where a tenth of the weights or fewer are left

Outputs equal those of the decompressed weights up to the order of float32 sums. What pays, and where it is slower than
the dense layer, is measured by `benchmarks/runtime.py`: few values save memory and cost time.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.deploy.compact import put
from laconic.deploy.edits import Edits
from laconic.deploy.narrowing import narrow
from laconic.deploy.thinning import thinned
from laconic.format.codes import Code, CodebookCode, GroupedCode, SparseCode, TileSparseCode
from laconic.models.params import apply_to, decompress, first_names, to_torch, unwrapped

DENSITY = 0.1
"""Share of the weights that are left, up to which rows of survivors are faster than the matrix, for several samples."""

_ENTRIES = 256  # of a codebook, whose indices are bytes


@final
@dataclass(frozen=True, eq=False)
class Stored:
    """A network whose layers are as the file has them, where they can run so.

    Args:
        module: a copy of the network.
        codes: of its tensors, by the names that they have in it: thin layers have names of their own.
        forms: layer → "factored", "lookup" or "sparse"; all others are dense.
    """

    module: nn.Module
    codes: Mapping[str, Code]
    forms: Mapping[str, str]


def stored(
    network: nn.Module,
    codes: Mapping[str, Code],
    forms: tuple[str, ...] = ("factored", "lookup", "sparse"),
    edits: Edits | None = None,
) -> Stored:
    """Return a copy of ``network`` with the compressed weights, in the given forms where a layer has them.

    Layers are `nn.Linear` and `nn.Conv2d`, for few values also `nn.Embedding`, whose weight has one name and no
    parametrization. All others get the decompressed weights.

    Args:
        network: stays as it is.
        codes: of all its parameters and buffers, by name.
        forms: that are wanted.
        edits: what was cut out, where the codes are of a smaller network; the copy becomes as small.

    Raises:
        FormatError: when the edits are not those of this network.
        WeightsError: when names or shapes differ.
    """
    module = narrow(deepcopy(unwrapped(network)), edits or Edits())
    held, made, layers = dict(codes), dict[str, str](), [each for each in _layers(module) if each[0]]
    for path, name, layer in layers if "factored" in forms else ():
        product = thinned(layer, held[name]) if name in held else None
        if product is not None and product.size * _places(layer) < held[name].size:
            put(module, path, product.layers.train(layer.training))
            held, made[path] = product.instead(held, path), "factored"
    apply_to(module, decompress(held))
    for path, name, layer in layers:
        for form in forms:
            new = _FORMS[form](layer, held[name]) if form in _FORMS and name in held and path not in made else None
            if new is not None:
                put(module, path, new.train(layer.training))
                made[path] = form
    return Stored(module, held, made)


def _layers(module: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """Give each layer that may have another form, with its name and that of its weight."""
    names = list(first_names(module).values())
    for path, layer in module.named_modules():
        name = f"{path}.weight".lstrip(".")
        if type(layer) in (nn.Linear, nn.Conv2d, nn.Embedding) and names.count(name) == 1 and not _hooked(layer):
            yield path, name, layer


def _places(layer: nn.Module) -> int:
    """Return on how many times as many places the first thin layers may run: on all that a stride leaves out."""
    return math.prod(layer.stride) if isinstance(layer, nn.Conv2d) else 1


def _hooked(layer: nn.Module) -> bool:
    """Say whether something else acts when the layer is called, which a new one would lose."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks)


@final
class Lookup(nn.Module):
    """A layer whose weight is looked up: entries of a codebook by indices of a byte, times scales of groups, if any.

    Args:
        layer: whose arguments it takes; its weight is dropped.
        codebook: entries, shape (K,).
        indices: uint8, of the shape of the weight.
        scales: of consecutive weights, shape (groups,), or none at all.
    """

    def __init__(self, layer: nn.Module, codebook: Tensor, indices: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.codebook, self.scales = (nn.Parameter(part, requires_grad=False) for part in (codebook, scales))
        self.register_buffer("indices", indices)
        self.layer = layer
        del layer.weight

    @property
    def weight(self) -> Tensor:
        """The weight, made anew."""
        indices = self.indices
        assert isinstance(indices, Tensor), "a buffer"
        values = self.codebook.index_select(0, indices.reshape(-1).int())
        if len(self.scales):
            values = (values.view(len(self.scales), -1) * self.scales[:, None]).reshape(-1)
        return values.view(indices.shape)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the layer."""
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(inputs, self.weight, layer.bias)
        if isinstance(layer, nn.Conv2d):
            outputs: Tensor = layer._conv_forward(inputs, self.weight, layer.bias)
            return outputs
        return F.embedding(inputs, self.weight)


@final
class Sparse(nn.Module):
    """A linear layer whose weight is stored by the survivors of its rows.

    Args:
        weight: shape (outputs, inputs), most of it 0.
        bias: shape (outputs,), if any.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says once that it may still change what it calls compressed rows
            rows = weight.to_sparse_csr()
        self.shape = tuple(weight.shape)
        self.values = nn.Parameter(rows.values(), requires_grad=False)
        self.register_buffer("starts", rows.crow_indices().int())
        self.register_buffer("columns", rows.col_indices().int())
        self.bias = None if bias is None else nn.Parameter(bias.clone(), requires_grad=False)

    def _rows(self) -> Tensor:
        """Return the survivors as torch multiplies them."""
        starts, columns = self.starts, self.columns
        assert isinstance(starts, Tensor), "a buffer"
        assert isinstance(columns, Tensor), "a buffer"
        return torch.sparse_csr_tensor(starts, columns, self.values, self.shape, check_invariants=False)

    @property
    def weight(self) -> Tensor:
        """The weight with its zeros."""
        return self._rows().to_dense()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, shape (..., outputs)."""
        outputs = (self._rows() @ inputs.reshape(-1, self.shape[1]).t()).t()
        outputs = outputs if self.bias is None else outputs + self.bias
        return outputs.reshape(*inputs.shape[:-1], self.shape[0])


def _lookup(layer: nn.Module, code: Code) -> nn.Module | None:
    """Return the layer with its weight looked up, where that is less memory."""
    if not isinstance(code, CodebookCode | GroupedCode) or code.indices.alphabet > _ENTRIES:
        return None
    if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse):
        return None
    if isinstance(code, GroupedCode) and (code.own or code.size % max(code.groups, 1)):
        return None
    dtype = to_torch(np.zeros(0, code.dtype)).dtype
    scales = to_torch(code.scales.array) if isinstance(code, GroupedCode) else torch.zeros(0)
    indices = torch.from_numpy(code.indices.array.astype(np.uint8)).view(code.shape)
    return Lookup(layer, to_torch(code.codebook.array).to(dtype), indices, scales.to(dtype))


def _sparse(layer: nn.Module, code: Code) -> nn.Module | None:
    """Return the layer with the survivors alone, where they are few."""
    if not (isinstance(code, SparseCode | TileSparseCode) and isinstance(layer, nn.Linear)):
        return None
    weight = layer.weight.detach()
    few = int(weight.count_nonzero()) <= math.ceil(DENSITY * weight.numel())
    return Sparse(weight, layer.bias) if few else None


_FORMS: Mapping[str, Callable[[Any, Code], nn.Module | None]] = {
    "lookup": _lookup,
    "sparse": _sparse,
}
