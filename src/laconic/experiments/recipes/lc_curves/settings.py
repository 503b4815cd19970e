"""What is compared: numbers of values and shares of weights, and how long each network is trained for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.fixed_codebook import BINARY, TERNARY, FixedCodebook, powers_of_two
from laconic.csteps.joint import Joint
from laconic.csteps.keep_largest import KeepLargest
from laconic.experiments.recipes.records.subject import Effort as Before
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.training.optimization import Optimization, cosine

Family = Literal["adaptive", "pruning", "fixed", "binary"]

METHODS: Mapping[Family, tuple[str, ...]] = {
    "adaptive": ("direct", "iDC", "LC"),
    "pruning": ("magnitude", "LC"),
    "fixed": ("LC",),
    "binary": ("BinaryConnect",),
}
"""By family: "direct" is not trained, "iDC" trained and compressed in turn, "magnitude" pruned and retrained,
"BinaryConnect" trained with binary weights in every forward pass."""


@final
@dataclass(frozen=True)
class Setting:
    """One compression of all weights.

    Args:
        family: "adaptive" codebooks, one for each tensor; "pruning", the largest of all tensors together; or "fixed"
            codebooks; "binary" is ±H with a fixed H for each tensor.
        label: names it among those of the family.
        number: values a codebook has, or the share of the weights that is kept.
        compression: the C step.
        scaled: of a fixed codebook, whether each tensor has a scale.
    """

    family: Family
    label: str
    number: float
    compression: Compression
    scaled: bool = False


def adaptive(values: int) -> Setting:
    """Return a codebook of so many values for each tensor."""
    return Setting("adaptive", f"K = {values}", values, AdaptiveCodebook(values))


def pruning(share: float) -> Setting:
    """Return the largest weights of all tensors together, a share of them."""
    return Setting("pruning", f"P = {100 * share:g} %", share, Joint(KeepLargest(keep=share)))


def fixed() -> tuple[Setting, ...]:
    """Return the fixed codebooks of the source, each with and without a scale for each tensor."""
    entries = {"±1": BINARY, "0, ±1": TERNARY}
    entries |= {f"powers of two, C = {smallest}": powers_of_two(smallest) for smallest in (1, 2)}
    scales = {"": "none", ", times a": "learned"}
    return tuple(
        Setting("fixed", label + said, len(own), FixedCodebook(own, scale=scale), scaled=scale == "learned")
        for label, own in entries.items()
        for said, scale in scales.items()
    )


def forward_binary() -> Setting:
    """Return weights that are ±H while they are trained."""
    return Setting("binary", "±H in training", 2, FixedCodebook(BINARY), scaled=True)


@final
@dataclass(frozen=True, eq=False)
class Effort:
    """How a network is trained, before and by each row of its table.

    Args:
        before: how its reference comes about, on which images.
        settings: what is compared.
        learning: LC; iDC has its steps, too, and retraining as many epochs as LC at most.
        images: of an epoch of each row, others in each; all unless told.
        batch: images of a batch of each row.
        seen: images that a published reference was trained on, each as often as it was seen; of one that is trained
            here this is counted.
    """

    before: Before
    settings: tuple[Setting, ...]
    learning: Training
    images: int | None = None
    batch: int = 128
    seen: int | None = None

    @property
    def rows(self) -> Before:
        """What the training images of the rows are."""
        return replace(self.before, images=self.images, batch=self.batch)

    @property
    def in_training(self) -> Optimization:
        """How weights of few values are trained: in as many epochs as LC has, at its rate, which falls to 0."""
        how = self.learning
        return Optimization(how.steps * how.l_step.epochs + how.finetune.epochs, how.l_step.lr, cosine)

    def training(self, method: str) -> Training:
        """Return how a method other than "direct" is trained."""
        how = self.learning
        if method == "iDC":
            return replace(how, method="idc")
        if method == "magnitude":
            epochs = how.steps * how.l_step.epochs + how.finetune.epochs
            return replace(how, method="retrain", finetune=replace(how.finetune, epochs=epochs))
        return how

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON says them."""
        how = self.learning
        return {
            "steps": how.steps, "epochs": how.l_step.epochs, "lr": how.l_step.lr, "decay": how.decay, "mu": how.mu,
            "growth": how.growth, "tolerance": how.tolerance, "fine-tuning epochs": how.finetune.epochs,
            "batch": self.batch, "images an epoch": self.images or "all",
            "augmentation": self.before.augment or "none",
        }  # fmt: skip


def learning(steps: int, epochs: int, tuned: int, *, mu: float, growth: float, lr: float) -> Training:
    """Return LC by SGD; the optimizer of fine-tuning is `FINE_TUNING`'s."""
    return Training(
        steps=steps, l_step=Optimization(epochs, lr), mu=mu, growth=growth,
        finetune=replace(FINE_TUNING, epochs=tuned),
    )  # fmt: skip


VALUES, SHARES = (2, 4, 8, 16, 32, 64), (0.01, 0.02, 0.03, 0.05, 0.1)
"""K and P of the LeNets in the source's figures."""

BESIDE = (3, 5, 7)
"""K of the adaptive codebooks beside fixed ones: 0 and ±1, and 2 C + 3 for C = 1, 2."""

CURVES = (*map(adaptive, sorted({*VALUES, *BESIDE})), *map(pruning, SHARES), *fixed(), forward_binary())
