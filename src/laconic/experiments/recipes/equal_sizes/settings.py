"""Every technique with one parameter that is free, and the range in which it decides how large the file is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from laconic.csteps.lossless import Lossless
from laconic.models.params import Params
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.plans.toml import parse_compression
from laconic.theory.importance import Importance

Options = Mapping[str, Any]

_FEW = {"codebook": 16}
_VALUES = {"values": _FEW}
"""Of what pruning leaves: 16 values, for 32 bits each would leave most techniques far above the sizes compared."""
_SIDES = {"left": _FEW, "right": _FEW}
_PRICES = (1e2, 1e-10)


@final
@dataclass(frozen=True)
class Setting:
    """A technique as it is compared.

    Args:
        technique: its key.
        label: names the curve.
        family: what it is compared within.
        parameter: what is free, in a word or two.
        row: strength → the row of a plan.
        span: the strengths of the smallest and of the largest file; None where nothing is free.
        whole: the strength is an integer.
        priced: the strength is a price, which in LC is one of the loss.
        first: the row of a first layer of kernels, where the technique would take away what the network is given.
        last: the row of the last layer where the technique would take outputs away.
        matrices: strength → the row of the matrices of a network with kernels, where the technique takes kernels alone.
        trained: how the network is trained before, a name of `laconic.training.shrinkage.WAYS`; "" for not at all.
        importance: what errors are weighed by; alike where there is none.
    """

    technique: str
    label: str
    family: str
    parameter: str
    row: Callable[[Any], Options]
    span: tuple[float, float] | None
    whole: bool = False
    priced: bool = False
    first: Options | None = None
    last: Options | None = None
    matrices: Callable[[Any], Options] | None = None
    trained: str = ""
    importance: Importance | None = None

    def at(self, place: float) -> float:
        """Return the strength at a place from 0, the smallest file, to 1, the largest: evenly in its logarithm.

        >>> Setting("codebook", "codebook", "quantization", "values", dict, (2, 32), whole=True).at(0.5)
        8
        """
        low, high = self.span or (1.0, 1.0)
        strength = low * (high / low) ** place
        return round(strength) if self.whole else float(f"{strength:.6g}")

    def plan(self, strength: float, params: Params) -> Plan:
        """Return the plan for every tensor with two axes or more, without importance; the rest stays lossless.

        Raises:
            PlanError: when the technique refuses the strength.
        """
        weights = {name: tensor for name, tensor in params.items() if tensor.ndim >= 2}
        rows = list[Options]()
        patterns = list[list[str]]()
        for name in weights:
            row = self._row_of(name, strength, weights)
            if row not in rows:
                rows.append(row)
                patterns.append([])
            patterns[rows.index(row)].append(fnmatch_escape(name))
        compressions = (parse_compression(dict(row), self.label) for row in rows)
        return Plan(dict(zip(map(", ".join, patterns), compressions, strict=True)), rest=Lossless())

    def _row_of(self, name: str, strength: float, weights: Params) -> Options:
        """Return the row of one of the weights of a network."""
        first, *_, last = weights
        kernels = [other for other, tensor in weights.items() if tensor.ndim > 2]
        if self.last is not None and name == last:
            return self.last
        if self.first is not None and name == first and name in kernels:
            return self.first
        if self.matrices is not None and kernels and name not in kernels:
            return self.matrices(strength)
        return self.row(strength)


def _rank(rank: int) -> Options:
    """Return a matrix of a rank, with few values in its factors."""
    return {"rank": rank, **_SIDES}


def _low_rank_and_sparse(share: float) -> Options:
    """Return a product and sparse exceptions, the rank in proportion to their share."""
    rank = max(1, round(120 * share))
    return {"sum": [{"rank": rank, **_SIDES}, {"keep": share, **_VALUES}]}


_CHOICES: list[Options] = [
    *({"codebook": k} for k in (2, 4, 16)),
    *({"keep": share, **_VALUES} for share in (0.01, 0.03, 0.1, 0.3)),
]

_SUMS = (
    Setting("sum", "two values + sparse", "sum", "share",
            lambda s: {"sum": [{"codebook": 2}, {"keep": s, **_VALUES}]}, (1e-5, 0.5)),
    Setting("sum", "low rank + sparse", "sum", "share", _low_rank_and_sparse, (1e-4, 0.5)),
    Setting("choice", "choice", "sum", "price", lambda p: {"choice": _CHOICES, "price": p}, _PRICES, priced=True),
)  # fmt: skip

_QUANTIZATION = (
    Setting("codebook", "codebook", "quantization", "values", lambda k: {"codebook": k}, (2, 256), whole=True),
    Setting("kmeans", "kmeans", "quantization", "values", lambda k: {"kmeans": k}, (2, 256), whole=True),
    Setting("priced_codebook", "priced_codebook", "quantization", "price",
            lambda p: {"priced_codebook": 16, "price": p}, _PRICES, priced=True),
    Setting("binary", "binary", "quantization", "price",
            lambda p: {"binary": True, "price": p}, _PRICES, priced=True),
    Setting("ternary", "ternary", "quantization", "price",
            lambda p: {"ternary": True, "price": p}, _PRICES, priced=True),
    Setting("powers_of_two", "powers_of_two", "quantization", "price",
            lambda p: {"powers_of_two": 3, "price": p}, _PRICES, priced=True),
    Setting("fixed_codebook", "fixed_codebook", "quantization", "price",
            lambda p: {"fixed_codebook": [-1.0, -0.3, 0.0, 0.3, 1.0], "price": p}, _PRICES, priced=True),
    Setting("hashed", "hashed", "quantization", "groups", lambda k: {"hashed": k}, (2, 100_000), whole=True),
    Setting("block", "block", "quantization", "half of the levels",
            lambda k: {"block": 64, "levels": 2 * k}, (1, 128), whole=True),
    Setting("grid", "grid", "quantization", "step", lambda s: {"grid": s}, (10.0, 1e-3)),
    Setting("grid_bits", "grid_bits", "quantization", "bits", lambda b: {"grid_bits": b}, (0.01, 8.0)),
    Setting("within_bytes", "within_bytes", "quantization", "bytes",
            lambda b: {"within_bytes": b, "joint": True}, (1_000, 200_000), whole=True),
    Setting("random_vectors", "random_vectors", "quantization", "weights a block",
            lambda n: {"random_vectors": n}, (1_000, 2), whole=True),
)  # fmt: skip

_PRUNING = (
    Setting("keep", "keep", "pruning", "share", lambda s: {"keep": s, **_VALUES, "joint": True}, (1e-4, 1.0)),
    Setting("keep", "keep by importance", "pruning", "share",
            lambda s: {"keep": s, **_VALUES, "joint": True}, (1e-4, 1.0),
            importance=Importance("unsupervised", samples=1_000)),
    Setting("count", "count", "pruning", "weights",
            lambda k: {"count": k, **_VALUES, "joint": True}, (10, 200_000), whole=True),
    Setting("l0_price", "l0_price", "pruning", "price",
            lambda p: {"l0_price": p, **_VALUES, "joint": True}, _PRICES, priced=True),
    Setting("l1_price", "l1_price", "pruning", "price",
            lambda p: {"l1_price": p, **_VALUES, "joint": True}, _PRICES, priced=True),
    Setting("l1_radius", "l1_radius", "pruning", "radius",
            lambda r: {"l1_radius": r, **_VALUES, "joint": True}, (1.0, 1e5)),
    Setting("l1_share", "l1_share", "pruning", "share",
            lambda s: {"l1_share": s, **_VALUES, "joint": True}, (1e-4, 1.0)),
    Setting("prune_bit_price", "prune_bit_price", "pruning", "price",
            lambda p: {"prune_bit_price": p, "value_bits": 4.0, **_VALUES, "joint": True}, _PRICES, priced=True),
    Setting("n_of_m", "n_of_m", "pruning", "m, n = 1", lambda m: {"n_of_m": [1, m], **_VALUES}, (256, 1), whole=True),
)  # fmt: skip

_GROUPS = (
    Setting("filters", "filters", "groups", "share",
            lambda s: {"filters": s, **_VALUES}, (1e-3, 1.0), last=_FEW),
    Setting("channels", "channels", "groups", "share",
            lambda s: {"channels": s, **_VALUES}, (1e-3, 1.0), first=_FEW),
    Setting("heads", "heads", "groups", "share",
            lambda s: {"heads": 50, "share": s, **_VALUES}, (1e-3, 1.0), last=_FEW),
    Setting("blocks", "blocks", "groups", "share",
            lambda s: {"blocks": [4, 4], "share": s, **_VALUES, "joint": True}, (1e-3, 1.0)),
    Setting("group_count", "group_count", "groups", "neurons",
            lambda k: {"group_count": k, "kind": "neurons", **_VALUES, "joint": True}, (1, 400), whole=True, last=_FEW),
    Setting("group_budget", "group_budget", "groups", "share",
            lambda s: {"group_budget": s, "kind": "channels", **_VALUES, "joint": True}, (1e-3, 1.0)),
    Setting("group_price", "group_price", "groups", "price",
            lambda p: {"group_price": p, "kind": "blocks", "size": [4, 4], **_VALUES, "joint": True},
            _PRICES, priced=True),
)  # fmt: skip

_LOW_RANK = (
    Setting("rank", "rank", "low rank", "rank", _rank, (1, 256), whole=True),
    Setting("rank", "rank after nuclear norm", "low rank", "rank", _rank, (1, 256), whole=True, trained="nuclear"),
    Setting("rank", "rank after orthogonality", "low rank", "rank",
            _rank, (1, 256), whole=True, trained="orthogonality"),
    Setting("two_components", "two_components", "low rank", "rank",
            lambda r: {"two_components": r, **_SIDES}, (1, 256), whole=True, matrices=_rank),
    Setting("learned_rank", "learned_rank", "low rank", "price",
            lambda p: {"learned_rank": p, **_SIDES, "full": _FEW}, _PRICES, priced=True),
    Setting("nuclear_price", "nuclear_price", "low rank", "price",
            lambda p: {"nuclear_price": p, **_SIDES}, _PRICES, priced=True),
    Setting("tucker", "tucker", "low rank", "rank", lambda r: {"tucker": r, "factors": _FEW}, (1, 256), whole=True),
    Setting("cp", "cp", "low rank", "products", lambda r: {"cp": r, "factors": _FEW}, (1, 256), whole=True),
)  # fmt: skip

LOSSLESS = Setting("lossless", "lossless", "lossless", "nothing", lambda _: {"lossless": True}, None)

SETTINGS: tuple[Setting, ...] = (LOSSLESS, *_QUANTIZATION, *_PRUNING, *_GROUPS, *_LOW_RANK, *_SUMS)
"""Every technique once at least. Pruning takes all layers under one constraint or price, quantization and low rank each
layer by itself, as their sources do."""

CHOSEN = Setting("choose", "choose", "choice", "bytes", lambda size: {"choose": size}, (1_000, 200_000), whole=True)
"""Any of these for each tensor, which is no row of a plan but a way to one: `laconic.choose`."""

COMPARED = (*SETTINGS, CHOSEN)
