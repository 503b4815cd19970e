"""The networks of the recipe: pruned by LC or by magnitude, seen on the way and after retraining."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from laconic.csteps.compression import Compression
from laconic.csteps.joint import Joint
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.l1_ball import L1Ball
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.pruning_finds.subject import KEPT, PRUNED, RETRAINED, Network, Run, Subject
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.finetune import FineTuning
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Geometric, Progress
from laconic.lc.state import LCState
from laconic.lc.steps import run, start
from laconic.models.params import decompress
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.training.optimization import Optimization, adam, cosine


def reference(subject: Subject) -> Network:
    """Return the network before it is pruned."""
    return _kept(subject, "reference", "reference", subject.params)


def kept_largest(subject: Subject) -> Run:
    """Return ℓ0 pruning by LC: direct compression, steps on the way, the last one, and after retraining."""
    effort = subject.effort
    return _run(subject, "LC, ℓ0", KeepLargest(keep=KEPT), effort.steps, effort.retrained, (0, *effort.shown))


def magnitude(subject: Subject) -> Run:
    """Return magnitude pruning: the largest weights of the reference, and after retraining of as many epochs as LC."""
    return _run(subject, "magnitude", KeepLargest(keep=KEPT), 0, subject.effort.whole, ())


def within_balls(subject: Subject) -> list[Run]:
    """Return ℓ1 pruning by LC within each ball: the last step, and after retraining."""
    effort = subject.effort
    norm = sum(float(subject.params[name].double().abs().sum()) for name in subject.weights)
    runs = list[Run]()
    for number, share in enumerate(effort.shares):
        part = subject.part(number / len(effort.shares), (number + 1) / len(effort.shares))
        runs.append(_run(part, f"LC, ℓ1 {share:g}", L1Ball(radius=share * norm), effort.steps, effort.retrained, ()))
    return runs


def _run(
    subject: Subject, name: str, compression: Compression, steps: int, retrained: int, shown: Sequence[int]
) -> Run:
    """Return a run, each network that is looked at computed once in the life of the folder.

    An interrupt costs an LC step, or an epoch of retraining, at most.

    Args:
        subject: the network.
        name: of the method.
        compression: of all weights together.
        steps: LC steps; 0 for direct compression.
        retrained: epochs of what survives.
        shown: steps that are looked at, beside the last one.
    """
    effort, cache = subject.effort, subject.context.cache
    labels = {step: f"step {step}" if step else PRUNED for step in (*shown, steps) if step <= steps}
    checkpoint = cache.path(f"{name}/state")

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        first, history = _begun(subject, name, compression, steps)
        past, new = history[:-1], list[Progress]()  # the first that is given is the one to go on from
        for state in _states(subject, first, steps, retrained):
            new += [state.progress] if state.tuning is None or not new else []
            save_state(checkpoint, state, _job(subject, name, steps), [*past, *new])
            step, tuned = state.progress.step, state.tuning.epoch if state.tuning else 0
            said = f"{name}: step {step}/{steps}" if state.tuning is None else f"{name}: retrained {tuned}/{retrained}"
            subject.context.say((step * effort.epochs + tuned) / (steps * effort.epochs + retrained), said)
            if state.tuning is None and step in labels:
                _kept(subject, name, labels[step], state.params)
        assert state.tuning is not None, "retraining comes last"
        tuned_codes = FineTuning.of(subject.task, state.all_codes).tuned(state.tuning)
        _kept(subject, name, RETRAINED, decompress(tuned_codes))
        return {
            "path": [{"step": at.step, "mu": at.mu, "gap": at.gap, "changed": at.changed} for at in (*past, *new)]
        }, {}

    figures, _ = cache.point(f"{name}/run", compute)
    checkpoint.unlink(missing_ok=True)
    return Run(tuple(_kept(subject, name, label, None) for label in (*labels.values(), RETRAINED)), figures["path"])


def _begun(subject: Subject, name: str, compression: Compression, steps: int) -> tuple[LCState, list[Progress]]:
    """Return the state that a run goes on from, and what has been before."""
    pattern = ", ".join(fnmatch_escape(weight) for weight in subject.weights)
    first = start(subject.params, Plan({pattern: Joint(compression)}))
    checkpoint = subject.context.cache.path(f"{name}/state")
    if not checkpoint.exists():
        return first, [first.progress]
    return load_state(checkpoint, first, _job(subject, name, steps))


def _job(subject: Subject, name: str, steps: int) -> dict[str, str]:
    """Return what must be the same for a run to go on."""
    return {"run": name, "steps": str(steps), "effort": repr(subject.effort), "seed": str(subject.context.seed)}


def _states(subject: Subject, state: LCState, steps: int, retrained: int) -> Iterator[LCState]:
    """Yield the states of LC from ``state`` on, and then those of retraining."""
    effort, seed = subject.effort, subject.context.seed
    if state.tuning is None:
        l_step = LearningStep(subject.task, Optimization(effort.epochs, effort.lr), effort.decay, seed)
        for reached in run(state, l_step, Geometric(effort.mu, effort.growth, steps)):
            state = reached
            yield state
    how = Optimization(retrained, 1e-3, cosine, optimizer=adam)
    for tuning in FineTuning.of(subject.task, state.all_codes).states(state.tuning, how, seed):
        yield replace(state, tuning=tuning)


def _kept(subject: Subject, run_name: str, label: str, params: Mapping[str, Tensor] | None) -> Network:
    """Return the network of a run, judged once in the life of the folder; without ``params`` it is there."""

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        assert params is not None, f"{run_name}, {label}: a run that is finished has judged it"
        judged = {split: sample_by_sample(subject.task, params, split)["errors"] for split in ("validation", "test")}
        return {}, judged | {f"weights/{name}": params[name].detach().cpu() for name in subject.weights}

    _, tensors = subject.context.cache.point(f"{run_name}/{label}", compute)
    weights = tuple(tensors[f"weights/{name}"].numpy() for name in subject.weights)
    errors = {split: tensors[split].double().numpy() for split in ("validation", "test")}
    return Network(run_name, label, weights, errors["test"], errors["validation"])


def similar(runs: Sequence[Run], before: Network) -> Run:
    """Return the run of fewest weights whose validation error is within a standard error of the reference's.

    Where none is, the run of least validation error.

    Args:
        runs: whose last networks are judged.
        before: the reference.
    """

    def is_similar(run: Run) -> bool:
        gaps = run.last.validation - before.validation
        return bool(gaps.mean() <= gaps.std(ddof=1) / math.sqrt(len(gaps)))

    alike = [run for run in runs if is_similar(run)]
    if alike:
        return min(alike, key=lambda run: run.last.kept)
    return min(runs, key=lambda run: run.last.validation.mean())
