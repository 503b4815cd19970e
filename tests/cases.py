"""One table of cases: every compression, alone, nested and joint, on the tensors that break things.

A new compression adds rows here and is held to every law of `test_laws.py`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from laconic.csteps import AdaptiveCodebook, Compression, Joint, KeepLargest, Lossless, LowRank, UniformGrid
from laconic.metric import Diagonal, Metric


@dataclass(frozen=True, eq=False)
class Case:
    """A compression and what it compresses.

    Args:
        name: names the row in the output of pytest.
        compression: what is under test.
        weights: tensors by name.
        metrics: metrics by name.
        exact: no feasible point may be better, but for the rounding to the tensors' dtype.
        price: of a bit of the integers on a grid, where the rate is in the objective.
        idempotent: projecting twice is projecting once: to the ``bit``, to ``rounding``, or ``no``.
    """

    name: str
    compression: Compression
    weights: dict[str, Tensor]
    metrics: dict[str, Metric] = field(default_factory=dict)
    exact: bool = True
    idempotent: str = "bit"
    price: float = 0.0


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
MATRICES = {name: tensor for name, tensor in TENSORS.items() if tensor.ndim >= 2}
SEVERAL = {"a": normal(20, 10, seed=1), "b": 5 * normal(4, 3, 2, 2, seed=2), "c": torch.zeros(0)}
MIXED = {"half": normal(40, seed=3).half(), "brain": normal(6, 6, seed=4).bfloat16(), "double": normal(9).double()}


def alone(
    label: str, compression: Compression, tensors: dict[str, Tensor], weighted: bool, **kind: object
) -> list[Case]:
    """Return a case for each tensor by itself, with the unit metric and with importances."""
    cases = [Case(f"{label}-{name}", compression, {name: tensor}, **kind) for name, tensor in tensors.items()]
    for name, tensor in tensors.items() if weighted else ():
        metrics = {name: importance(tensor)}
        cases.append(Case(f"{label}-{name}-weighted", compression, {name: tensor}, metrics, **kind))
    return cases


def together(label: str, compression: Compression, tensors: dict[str, Tensor], **kind: object) -> list[Case]:
    """Return a case of all tensors under the unit metric, and one where all but the last have importances."""
    metrics = {name: importance(tensors[name]) for name in list(tensors)[:-1]}
    return [
        Case(label, compression, tensors, **kind),
        Case(f"{label}-weighted", compression, tensors, metrics, **kind),
    ]


COMPOSED = {"exact": False}
FACTORED = {"exact": False, "idempotent": "no"}
ROUNDED = {"idempotent": "rounding"}
DESCENT = {"exact": False, "idempotent": "rounding"}  # of values rounded to a short dtype, offsets may differ a little
PRICED = {"exact": False, "idempotent": "no", "price": 0.15 * 0.3**2}  # a second time pulls further to 0
TRELLIS = {"exact": False, "idempotent": "no", "price": 0.5 * 0.1**2}
SOUGHT = {"exact": False, "idempotent": "no"}  # of its own result, a search may find another step
SHARED = {"exact": False, "idempotent": "rounding"}  # each dtype rounds the shared entries to its own

CASES: tuple[Case, ...] = (
    *alone("lossless", Lossless(), TENSORS | {"nan": torch.tensor([float("nan"), 1.0])}, weighted=True),
    *alone("codebook1", AdaptiveCodebook(1), TENSORS, weighted=True),
    *alone("codebook4", AdaptiveCodebook(4), TENSORS, weighted=True),
    *alone("codebook300", AdaptiveCodebook(300), TENSORS, weighted=False),
    *alone("keep20%", KeepLargest(keep=0.2), TENSORS, weighted=True),
    *alone("keep0", KeepLargest(keep=0), TENSORS, weighted=False),
    *alone("keep1000", KeepLargest(count=1000), TENSORS, weighted=True),
    *alone("keep-codebook", KeepLargest(0.3, values=AdaptiveCodebook(3)), TENSORS, weighted=True, **COMPOSED),
    *alone("rank2", LowRank(2), MATRICES, weighted=False, **ROUNDED),
    *alone("rank0", LowRank(0), MATRICES, weighted=False, **ROUNDED),
    *alone("rank99", LowRank(99), MATRICES, weighted=False, **ROUNDED),
    *alone("rank2-rows", LowRank(2, "out.kh|in.kw"), {"conv": TENSORS["conv"]}, weighted=False, **ROUNDED),
    *alone(
        "rank3-factors",
        LowRank(3, left=AdaptiveCodebook(4), right=KeepLargest(0.5, values=AdaptiveCodebook(4))),
        MATRICES,
        weighted=False,
        **FACTORED,
    ),
    *together("each-codebook", AdaptiveCodebook(3), SEVERAL),
    *together("joint-codebook", Joint(AdaptiveCodebook(3)), SEVERAL),
    *together("joint-codebook-mixed", Joint(AdaptiveCodebook(5)), MIXED, **ROUNDED),
    *together("joint-keep", Joint(KeepLargest(0.25)), SEVERAL),
    *together("joint-keep-mixed", Joint(KeepLargest(count=7)), MIXED),
    *together("joint-keep-codebook", Joint(KeepLargest(0.25, values=AdaptiveCodebook(3))), SEVERAL, **COMPOSED),
    *together("joint-keep-joint", Joint(KeepLargest(0.25, values=Joint(AdaptiveCodebook(3)))), MIXED, **SHARED),
    *alone("grid0.3", UniformGrid(step=0.3), MODEST, weighted=True, **DESCENT),
    *alone("grid1e-3", UniformGrid(step=1e-3), MODEST, weighted=False, **DESCENT),
    *alone("grid0.3-rate", UniformGrid(step=0.3, rate=0.15), MODEST, weighted=True, **PRICED),
    *alone("grid-2bits", UniformGrid(bits=2), TENSORS, weighted=True, **SOUGHT),
    *alone("grid-0bits", UniformGrid(bits=0), TENSORS, weighted=False, **SOUGHT),
    *alone("keep-grid", KeepLargest(0.3, values=UniformGrid(bits=3)), TENSORS, weighted=True, **SOUGHT),
    *together("each-grid", UniformGrid(step=0.3), SEVERAL, **DESCENT),
    *together("joint-grid", Joint(UniformGrid(step=0.3)), SEVERAL, **DESCENT),
    *together("joint-grid-rate", Joint(UniformGrid(step=0.3, rate=0.15)), SEVERAL, **PRICED),
    *together("joint-grid-bits", Joint(UniformGrid(bits=1.5)), SEVERAL, **SOUGHT),
    *together("joint-grid-mixed", Joint(UniformGrid(bits=3)), MIXED, **SOUGHT),
    *alone("trellis-2bits", UniformGrid(bits=2, states=8), TENSORS, weighted=True, **SOUGHT),
    *alone("trellis0.1-rate", UniformGrid(step=0.1, rate=0.5, states=4), MODEST, weighted=True, **TRELLIS),
    *alone("trellis64", UniformGrid(bits=1.5, states=64, cosine=True, scales=True), TENSORS, weighted=False, **SOUGHT),
    *alone("grid-scales", UniformGrid(bits=3, cosine=True, scales=True), TENSORS, weighted=True, **SOUGHT),
    *alone("grid-rows", UniformGrid(bits=3, rows=True), TENSORS, weighted=True, **SOUGHT),
    *together("joint-trellis-rows", Joint(UniformGrid(bits=2, states=8, rows=True)), SEVERAL, **SOUGHT),
    *together("joint-trellis", Joint(UniformGrid(bits=2, states=8, scales=True)), SEVERAL, **SOUGHT),
    *alone("keep-trellis", KeepLargest(0.3, values=UniformGrid(bits=3, states=8)), TENSORS, weighted=True, **SOUGHT),
    Case("no-tensors-grid", Joint(UniformGrid(bits=3)), {}, **SOUGHT),
    Case("joint-rank", Joint(LowRank(1)), {"a": normal(5, 4), "b": normal(3, 7)}, idempotent="rounding"),
    Case(
        "joint-rank-joint",
        Joint(LowRank(2, left=Joint(AdaptiveCodebook(8)))),
        {"a": normal(15, 4), "b": normal(13, 7)},
        **FACTORED,
    ),
    Case("no-tensors", Joint(AdaptiveCodebook(2)), {}),
    Case("no-tensors-keep", Joint(KeepLargest(0.5)), {}),
)
