"""What a case is, and the tensors that break things."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from laconic import Compression
from laconic.format.codes import Code, CodebookCode, GridCode, GroupedCode
from laconic.format.coding import entropy_bits
from laconic.theory.metric import Diagonal, Metric, Quartic


@dataclass(frozen=True, eq=False)
class Case:
    """A compression and what it compresses.

    Args:
        name: names the row in the output of pytest.
        compression: what is under test.
        weights: tensors by name.
        metrics: metrics by name.
        exact: no feasible point may be better, but for the rounding to the tensors' dtype.
        penalty: of codes, what the objective has beside the distortion: a price times a cost.
        idempotent: projecting twice is projecting once: to the ``bit``, to ``rounding``, or ``no``.
        one_kind: whether the kind of code does not depend on the weights.
        usual: whether the laws are run over it unless ``--all`` is given.
    """

    name: str
    compression: Compression
    weights: dict[str, Tensor]
    metrics: dict[str, Metric] = field(default_factory=dict)
    exact: bool = True
    idempotent: str = "bit"
    penalty: Callable[[Mapping[str, Code]], float] = lambda codes: 0.0
    one_kind: bool = True
    usual: bool = True


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def heavy(*shape: int, seed: int = 0) -> Tensor:
    """Student's t with two degrees of freedom."""
    chi = torch.empty(shape).exponential_(generator=generator(seed + 1))
    return normal(*shape, seed=seed) / chi.sqrt()


def importance(tensor: Tensor, seed: int = 7) -> Metric:
    """Log-normal importances, one in five of them zero, float32."""
    g = generator(seed)
    h = torch.randn(tensor.shape, generator=g).mul(1.5).exp()
    return Diagonal(torch.where(torch.rand(tensor.shape, generator=g) < 0.2, 0.0, h))


TENSORS: dict[str, Tensor] = {
    "normal": normal(30, 20),
    "heavy": heavy(30, 20),
    "flat": normal(300),
    "conv": normal(6, 3, 5, 5),
    "sliced": normal(20, 30).T[::2],
    "empty": torch.zeros(0, 4),
    "scalar": torch.tensor(1.5),
    "single": torch.tensor([[-2.0]]),
    "constant": torch.full((5, 4), 0.1),
    "zero": torch.zeros(5, 4),
    "ties": torch.tensor([[1.0, -1.0, 2.0], [1.0, -2.0, -1.0], [0.0, -0.0, 2.0]]),
    "tiny": normal(8, 5) * 1e-30,
    "huge": normal(8, 5) * 1e30,
    "float16": normal(12, 10).half(),
    "bfloat16": normal(12, 10).bfloat16(),
    "float64": normal(12, 10).double(),
}
MODEST = {name: tensor for name, tensor in TENSORS.items() if name != "huge"}
FEW = {name: TENSORS[name] for name in ("heavy", "conv", "empty", "scalar", "zero", "ties", "bfloat16", "float64")}
MATRICES = {name: tensor for name, tensor in TENSORS.items() if tensor.ndim >= 2}
SEVERAL = {"a": normal(20, 10, seed=1), "b": 5 * normal(4, 3, 2, 2, seed=2), "c": torch.zeros(0)}
MIXED = {"half": normal(40, seed=3).half(), "brain": normal(6, 6, seed=4).bfloat16(), "double": normal(9).double()}


def alone(
    label: str, compression: Compression, tensors: dict[str, Tensor], weighted: bool, **kind: object
) -> list[Case]:
    """Return a case for each tensor by itself, with the unit metric and with importances.

    Usual are those of every row on ties, and of each row on some of the others: not the same for all rows, so that what
    a family shares meets every tensor.
    """
    turn = zlib.crc32(label.encode())
    cases = []
    for at, (name, tensor) in enumerate(tensors.items()):
        usual = name == "ties" or (turn + at) % 8 == 0
        cases.append(Case(f"{label}-{name}", compression, {name: tensor}, **kind, usual=usual))
    for at, (name, tensor) in enumerate(tensors.items() if weighted else ()):
        usual = (turn + at) % 8 == 2
        metrics = {name: importance(tensor)}
        cases.append(Case(f"{label}-{name}-weighted", compression, {name: tensor}, metrics, **kind, usual=usual))
    return cases


def together(label: str, compression: Compression, tensors: dict[str, Tensor], **kind: object) -> list[Case]:
    """Return a case of all tensors under the unit metric, and one where all but the last have importances."""
    metrics = {name: importance(tensors[name]) for name in list(tensors)[:-1]}
    return [
        Case(label, compression, tensors, **kind),
        Case(f"{label}-weighted", compression, tensors, metrics, **kind),
    ]


def bits_at(price: float) -> Callable[[Mapping[str, Code]], float]:
    """Return the penalty of the integers on a grid, each bit at a price."""
    return lambda codes: price * sum(code.index_bits for code in codes.values() if isinstance(code, GridCode))


def index_bits_at(price: float) -> Callable[[Mapping[str, Code]], float]:
    """Return the penalty of indices into a codebook, each ideal bit at a price."""

    def penalty(codes: Mapping[str, Code]) -> float:
        indices = [code.indices for code in codes.values() if isinstance(code, CodebookCode | GroupedCode)]
        return price * sum(entropy_bits(symbols.array, symbols.alphabet) for symbols in indices)

    return penalty


def quartic(tensor: Tensor, seed: int = 8) -> Metric:
    """Log-normal importances of squares and of fourth powers, float32."""
    squares, fourths = (importance(tensor, seed + k).importance for k in range(2))
    return Quartic(squares, fourths)


COMPOSED = {"exact": False}
FACTORED = {"exact": False, "idempotent": "no"}
ROUNDED = {"idempotent": "rounding"}
DESCENT = {"exact": False, "idempotent": "rounding"}  # of values rounded to a short dtype, offsets may differ a little
PRICED = {"exact": False, "idempotent": "no", "penalty": bits_at(0.15 * 0.3**2)}  # a second time pulls further to 0
TRELLIS = {"exact": False, "idempotent": "no", "penalty": bits_at(0.5 * 0.1**2)}
SOUGHT = {"exact": False, "idempotent": "no"}  # of its own result, a search may find another step
SHARED = {"exact": False, "idempotent": "rounding"}  # each dtype rounds the shared entries to its own
