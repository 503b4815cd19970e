"""Nothing changed, and sums."""

import torch

from laconic import AdaptiveCodebook, Additive, Choice, Joint, KeepLargest, Lossless, LowRank, UniformGrid

from .case import FACTORED, MATRICES, MIXED, SEVERAL, TENSORS, Case, alone, normal, together

AWKWARD = {name: TENSORS[name] for name in ("normal", "empty", "scalar", "ties", "zero", "tiny", "bfloat16", "float16")}
FEW = {name: TENSORS[name] for name in ("heavy", "single", "constant", "float64")}
THIN = {name: MATRICES[name] for name in ("normal", "conv", "empty", "single", "ties", "bfloat16", "float64")}
PRICE = 0.1 * 0.3**2
PRICED = {
    "exact": False,
    "idempotent": "no",
    "penalty": lambda codes: PRICE * sum(code.terms[0].index_bits for code in codes.values()),
}
QUANTIZED = AdaptiveCodebook(2)
CHOICE = Choice((QUANTIZED, AdaptiveCodebook(5), KeepLargest(0.1), Lossless()), 0.01)
CHOSEN = {"exact": False, "idempotent": "no", "penalty": CHOICE.penalty, "one_kind": False}
WITHIN = CHOSEN | {"penalty": lambda codes: CHOICE.penalty({name: code.values for name, code in codes.items()})}
TWO = Additive((QUANTIZED, KeepLargest(0.1)))

ADDITIVE: tuple[Case, ...] = (
    *alone("lossless", Lossless(), TENSORS | {"nan": torch.tensor([float("nan"), 1.0])}, weighted=True),
    *alone("sum-codebook-keep", TWO, TENSORS, weighted=False, **FACTORED),
    *alone("sum-keep-codebook", Additive((KeepLargest(count=2), QUANTIZED)), AWKWARD, weighted=True, **FACTORED),
    *alone("sum-rank-keep", Additive((LowRank(1), KeepLargest(0.1)), sweeps=5), THIN, weighted=False, **FACTORED),
    *alone(
        "sum-three",
        Additive((LowRank(1), QUANTIZED, KeepLargest(0.1, values=QUANTIZED)), sweeps=3),
        {name: THIN[name] for name in ("normal", "conv", "ties")},
        weighted=False,
        **FACTORED,
    ),
    *alone("sum-grid-keep", Additive((UniformGrid(bits=2), KeepLargest(0.1))), FEW, weighted=True, **FACTORED),
    *alone(
        "sum-grid-rate",
        Additive((UniformGrid(step=0.3, rate=0.1), KeepLargest(0.1)), sweeps=5),
        {name: FEW[name] for name in ("heavy", "float64")},
        weighted=True,
        **PRICED,
    ),
    *alone(
        "sum-of-four",
        Additive((QUANTIZED, QUANTIZED, QUANTIZED, KeepLargest(0.1)), sweeps=3),
        {"ties": TENSORS["ties"]},
        weighted=True,
        **FACTORED,
    ),
    *alone("choice", CHOICE, AWKWARD | FEW, weighted=True, **CHOSEN),
    *together("joint-choice", Joint(CHOICE), SEVERAL, **CHOSEN),
    *alone("keep-choice", KeepLargest(0.4, values=CHOICE), {"normal": TENSORS["normal"]}, weighted=True, **WITHIN),
    *alone("keep-sum", KeepLargest(0.4, values=TWO), {"normal": TENSORS["normal"]}, weighted=True, **FACTORED),
    Case("rank-sum", LowRank(3, left=TWO), {"normal": TENSORS["normal"]}, **FACTORED),
    Case("sum-of-sums", Additive((LowRank(2), TWO), sweeps=3), {"normal": TENSORS["normal"]}, **FACTORED),
    *together("joint-sum-apart", Joint(TWO), SEVERAL, **FACTORED),
    *together("joint-sum", Joint(Additive((Joint(QUANTIZED), Joint(KeepLargest(0.1))))), SEVERAL, **FACTORED),
    *together("joint-sum-half", Joint(Additive((Joint(QUANTIZED), KeepLargest(0.1)))), MIXED, **FACTORED),
    Case(
        "joint-sum-rank",
        Joint(Additive((LowRank(1, left=Joint(AdaptiveCodebook(4))), Joint(KeepLargest(0.1))), sweeps=3)),
        {"a": normal(15, 4), "b": normal(13, 7)},
        **FACTORED,
    ),
    Case("no-tensors-sum", Joint(Additive((Joint(QUANTIZED), Joint(KeepLargest(0.1))))), {}, **FACTORED),
)
