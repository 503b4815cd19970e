"""The whole story on a small network: train, compress at three ratios, write, read back, evaluate on held-out images.

The data are the 1,797 images of handwritten digits that scikit-learn ships; the network is LeNet-300-100 on 8 × 8
inputs. Direct compression and the LC algorithm get the same plans; every error is that of the file, read back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from laconic.api import compress, load
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.joint import Joint
from laconic.csteps.keep_largest import KeepLargest
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.lc.schedule import Progress
from laconic.models import data, nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import Params, params_of
from laconic.request import Effort
from laconic.result import Result
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task, classification
from laconic.training.trainer import start_training, train

NET, DATA = "lenet300", "digits"

PLANS: dict[str, Compression] = {
    "codebook 4": AdaptiveCodebook(4),
    "codebook 2": AdaptiveCodebook(2),
    "keep 5 %, codebook 4": Joint(KeepLargest(0.05, values=AdaptiveCodebook(4))),
}
"""What is done to the weights, from the lowest ratio to the highest."""

REFERENCE = Optimization(epochs=60, lr=0.05, anneal=cosine)
LC = Training(
    steps=40,
    l_step=Optimization(epochs=4, lr=0.05),
    decay=0.97,
    pull=0.3,
    growth=1.1,
    finetune=replace(FINE_TUNING, epochs=40),
)
"""Chosen on the validation split of seed 0."""


@final
@dataclass(frozen=True)
class Outcome:
    """One file of the demonstration.

    Args:
        seed: of training and compression.
        plan: a name of `PLANS`, or "reference".
        method: "reference", "direct" or "LC".
        bytes: size of the file.
        ratio: bytes of the reference's file over these.
        error: on held-out images, in percent.
        loss: there, in nats per image.
        history: the path of LC.
    """

    seed: int
    plan: str
    method: str
    bytes: int
    ratio: float
    error: float
    loss: float
    history: Sequence[Progress] = ()


Say = Callable[[float, str], None]
"""(share done, what is going on)."""


def demonstrate(folder: Path, seeds: Sequence[int], say: Say) -> list[Outcome]:
    """Run the demonstration, write the files of the first seed to ``folder``, and return what came of all.

    Args:
        folder: gets `reference.safetensors` and a `.lac` file for each plan and method.
        seeds: each trains and compresses a network of its own.
        say: told of the progress.
    """
    images = data.load(DATA, None, nets.preprocessing_of(NET, DATA))
    identity = nets.identity(NET, DATA, images.preprocessing)
    outcomes: list[Outcome] = []
    for number, seed in enumerate(seeds):
        task = classification(nets.build(NET, images.shape, images.classes, seed), images, identity)
        into = folder if number == 0 else folder / f"seed-{seed}"
        outcomes += _one_seed(into, task, seed, lambda done, text, n=number: say((n + done) / len(seeds), text))  # type: ignore[misc]
    return outcomes


def _one_seed(folder: Path, task: Task, seed: int, say: Say) -> list[Outcome]:
    """Train and compress one network."""
    say(0.0, f"seed {seed}: training the reference")
    reference = start_training(params_of(task.module))
    for reached in train(task, reference, REFERENCE, seed):
        reference = reached
    path = folder / "reference.safetensors"
    save_checkpoint(path, reference.weights, task.metadata, force=True)
    size = path.stat().st_size
    outcomes = [_outcome(path, task, reference.weights, seed, "reference", "reference", size)]
    notes = {REFERENCE_BYTES: str(size)}
    for number, plan in enumerate(PLANS):
        share = 1 / (len(PLANS) + 1)
        efforts: tuple[tuple[str, Effort], ...] = (("direct", "direct"), ("LC", "train"))
        for method, effort in efforts:
            say((number + 1) * share, f"seed {seed}: {plan}, {method}")
            result = compress(reference.weights, PLANS[plan], task, effort, training=LC, metadata=notes, seed=seed)
            outcomes.append(_written(folder, result, task, seed, plan, method, size))
    return outcomes


def _written(
    folder: Path, result: Result, task: Task, seed: int, plan: str, method: str, reference_bytes: int
) -> Outcome:
    """Write a file, read it back and evaluate what was read."""
    name = "-".join(plan.replace("%", "").replace(",", "").split())
    path = result.save(folder / f"{name}-{method.lower()}.lac", force=True)
    outcome = _outcome(path, task, load(path), seed, plan, method, reference_bytes)
    return replace(outcome, history=tuple(result.history))


def _outcome(
    path: Path, task: Task, params: Params, seed: int, plan: str, method: str, reference_bytes: int
) -> Outcome:
    """Evaluate weights on the held-out images."""
    measures, size = task.evaluate(params, "test"), path.stat().st_size
    return Outcome(seed, plan, method, size, reference_bytes / size, measures["error"], measures["loss"])
