"""The C step and the loop around it: `min L(w) s.t. w = Δ(Θ)` by alternation while μ grows.

    L step   w ← argmin L(w) + (μ/2) ‖w − Δ(Θ) − M⁻¹λ/μ‖²_M
    C step   Θ ← argmin ‖w − M⁻¹λ/μ − Δ(Θ)‖²_M
    then     λ ← λ − μ M (w − Δ(Θ)),  μ ← next

(Carreira-Perpiñán 2017, arXiv 1707.01209; M is the unit matrix there.)
"""

import math
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import Joint, project, together
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code, DenseCode
from laconic.format.compact import compact
from laconic.lc.schedule import Progress, Schedule
from laconic.lc.state import LCState, normalised_importance
from laconic.machines.exchange import Exchange
from laconic.machines.sharing import shared_out
from laconic.models.params import Params, decompress, to_numpy
from laconic.plans.plan import Plan, Row
from laconic.theory.metric import Diagonal, Metrics

LStep = Callable[[LCState, float], tuple[Params, float]]
"""(state, μ) → new weights (all of them) and the mean loss: an optimizer over a task, or a solver of one's own."""


_ANNEALED = 400.0
"""Times the first μ: what a price that must grow has to wait for."""


def start(
    params: Params,
    plan: Plan,
    metrics: Metrics | None = None,
    moving: Container[str] | None = None,
    mu: float = 0.0,
    exchange: Exchange | None = None,
) -> LCState:
    """Return direct compression, where the path begins: w is the reference, Θ its projection, λ = 0.

    A tensor that no L step moves can never close its gap: it is projected once, w becomes Δ(Θ), and the others are
    trained beside it.

    Args:
        params: the reference network's parameters and buffers.
        plan: what each tensor gets.
        metrics: diagonal metrics by name; the unit metric where there is none.
        moving: names of the tensors that L steps move (`laconic.training.loop.trainable`); all unless given.
        mu: of the first L step, where it is known: prices that must grow (`Compression.annealed`) are then lower, in
            proportion to μ, until that is 400 times as high, so that what they are in the C step is the same until
            then, and in direct compression.
        exchange: of ranks that train together and share out C steps, if there are several.

    Raises:
        PlanError: when the plan does not fit, or constrains tensors that move and others jointly; for an exchange in
            which workers have the momentum, for the penalty's gradient would have none.
        WeightsError: when a constrained tensor cannot be compressed.
    """
    if exchange is not None and exchange.scheme.memory.has_momentum:
        raise PlanError(
            "the momentum is the optimizer's in LC training, where the penalty has it as well: take topk in place of "
            "dgc, or another way for gradients to travel"
        )
    resolved = [row for row in plan.resolve(params) if not _is_free(row.compression)]
    rows, still = _parted(resolved, moving)
    fixed = {name: code for row in still for name, code in _direct(row, params, metrics).items()}
    names = [name for row in rows for name in row.names]
    weights = {name: _own(tensor) for name, tensor in params.items()}
    weights |= _decompress(fixed, weights)
    importance = normalised_importance(metrics or {}, names, weights)
    zeros = {name: torch.zeros_like(weights[name]) for name in names}
    blank = LCState(Progress(0, 0.0, math.nan, 0.0, None, None), rows, weights, {}, {}, zeros, importance, fixed)
    blank = replace(blank, whole_price=_ANNEALED * mu, exchange=exchange)
    codes = _project(blank, weights, {name: weights[name] for name in names}, warm=None)
    compressed = _decompress(codes, weights)
    progress = replace(blank.progress, gap=_gap(weights, compressed))
    return replace(blank, codes=codes, compressed=compressed, progress=progress)


def c_step(state: LCState, weights: Params, mu: float, *, loss: float = math.nan, augmented: bool = True) -> LCState:
    """Compress the weights that an L step has found, and update the multipliers.

    Args:
        state: the state that the L step started from.
        weights: w after it: parameters, and buffers if there are any.
        mu: μ of that L step; 0 projects w itself.
        loss: mean loss of the L step, for the record.
        augmented: update λ (augmented Lagrangian); False keeps λ = 0 (quadratic penalty).

    Returns:
        The next state, with step counted up.
    """
    weights = {**state.weights, **{name: _own(tensor) for name, tensor in weights.items()}}
    codes = _project(state, weights, state.shifted(weights, mu), warm=state.codes, mu=mu)
    compressed = _decompress(codes, weights)
    multipliers = state.multipliers
    if augmented:
        multipliers = {
            name: multiplier - mu * _times(state.importance, name, weights[name] - compressed[name])
            for name, multiplier in state.multipliers.items()
        }
    changed, returned = _moves(state.codes, codes)
    gap, progress_before = _gap(weights, compressed), state.progress
    progress = Progress(progress_before.step + 1, mu, loss, gap, changed, returned, progress_before.gap)
    return replace(
        state, progress=progress, weights=weights, codes=codes, compressed=compressed, multipliers=multipliers
    )


def relaxed(state: LCState) -> LCState | None:
    """Return the state from which the path goes on once choices are made, or None where no price or bound has shrunk.

    Tensors that a compression has shrunk get what projects on its choices alone (`Compression.relaxed`); λ is 0 again,
    and the path begins anew from the weights as they are.
    """
    rows = relaxed_rows(state.rows, state.codes)
    if rows == state.rows:
        return None
    return replace(begun_anew(state, rows, state.weights), choices=state.codes)


def relaxed_rows(rows: Sequence[Row], choices: Codes) -> tuple[Row, ...]:
    """Return the rows with what projects on these choices alone; those that nothing shrinks are as they were."""
    new = list[Row]()
    for row in rows:
        groups = [{name: choices[name] for name in names} for names in together(row.compression, row.names)]
        parts = [part for group in groups for part in row.compression.relaxed(group).items()]
        same = all(compression == row.compression for _, compression in parts)
        new += [row] if same else [replace(row, names=names, compression=one) for names, one in parts]
    return tuple(new)


def begun_anew(state: LCState, rows: tuple[Row, ...], weights: Params) -> LCState:
    """Return direct compression of ``weights`` by other rows for the same tensors, λ = 0, with step counted up.

    Args:
        state: of the path that is left.
        rows: such as those of another size.
        weights: w to begin from: all of them.

    Raises:
        PlanError, WeightsError: when they cannot be compressed so.
    """
    zeros = {name: torch.zeros_like(multiplier) for name, multiplier in state.multipliers.items()}
    step = state.progress.step + 1
    blank = replace(state, rows=rows, weights=weights, multipliers=zeros, began=step)
    codes = _project(blank, weights, {name: weights[name] for name in zeros}, warm=None)
    compressed = _decompress(codes, weights)
    progress = Progress(step, 0.0, math.nan, _gap(weights, compressed), *_moves(state.codes, codes))
    return replace(blank, progress=progress, codes=codes, compressed=compressed)


def run(state: LCState, l_step: LStep, schedule: Schedule, *, augmented: bool = True) -> Iterator[LCState]:
    """Yield ``state``, and then the state after each C step until the schedule says stop; none without constraints.

    Logging, early stopping, plots and checkpoints live outside, in the loop that takes the states. The generator
    goes on from any state that it has yielded, and the path is the same as without the interruption.

    Args:
        state: `start`'s, or a later one.
        l_step: see `LStep`; `LearningStep` trains a task.
        schedule: gives μ of each step, counted from where the path began.
        augmented: augmented Lagrangian, or the quadratic-penalty method.
    """
    yield state
    while state.codes and (mu := schedule.next_mu(_seen(state))) is not None:
        weights, loss = l_step(state, mu)
        state = c_step(state, weights, mu, loss=loss, augmented=augmented)
        yield state


def _seen(state: LCState) -> Progress:
    """Return what the schedule looks at, which ends the path at a gap of 0: of a price that says nothing by itself.

    Before the first step μ changes the gap; later w can meet θ, multipliers being at ± the price, while both move on.
    """
    progress = state.since_began
    kinds = [row.compression for row in state.rows if not row.compression.annealed]
    if any(kind.scaled(2.0) != kind for kind in kinds) and (progress.step == 0 or progress.gap == 0):
        return replace(progress, gap=math.inf if progress.step == 0 else math.ulp(0.0))
    return progress


def _own(tensor: Tensor) -> Tensor:
    """Return a copy, laid out row by row as a checkpoint would restore it: sums must not depend on strides."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _parted(rows: Sequence[Row], moving: Container[str] | None) -> tuple[tuple[Row, ...], list[Row]]:
    """Return the rows with the tensors that move, and those with the others."""
    if moving is None:
        return tuple(rows), []
    moved, still = list[Row](), list[Row]()
    for row in rows:
        names = tuple(name for name in row.names if name in moving)
        rest = tuple(name for name in row.names if name not in moving)
        if names and rest and isinstance(row.compression, Joint):
            raise PlanError(
                f"{', '.join(rest)}: training does not move this, and it is joint with {', '.join(names)}, which it "
                "moves; give them rows of their own"
            )
        moved += [replace(row, names=names)] if names else []
        still += [replace(row, names=rest)] if rest else []
    return tuple(moved), still


def _direct(row: Row, params: Params, metrics: Metrics | None) -> dict[str, Code]:
    """Return the codes of direct compression of a row, with the metrics as they are."""
    return project(row.compression, {name: params[name] for name in row.names}, metrics, None)


def _is_free(compression: Compression) -> bool:
    """Tell whether the feasible set is the whole space, so that there is nothing to constrain."""
    return isinstance(compression.of if isinstance(compression, Joint) else compression, Lossless)


def _project(state: LCState, weights: Params, points: Params, warm: Codes | None, mu: float = 0.0) -> dict[str, Code]:
    """Solve the C step: first the rows that look at their own tensors alone, then those that count what others take.

    Prices, which are in units of the loss, are 2/μ times as high there; those that must grow no higher than for the μ
    from which they are whole.
    """
    metrics = {name: Diagonal(importance) for name, importance in state.importance.items()}
    codes: dict[str, Code] = {}
    constrained = {name for row in state.rows for name in row.names}
    free = {name: DenseCode.of(to_numpy(tensor)) for name, tensor in weights.items() if name not in constrained}
    counting, priced = list[Row](), list[Row]()
    for row in state.rows:
        at = max(mu, state.whole_price) if row.compression.annealed else mu
        compression = (row.compression.scaled(2 / at) if at else row.compression).among(points, metrics)
        (counting if compression.counts_others else priced).append(replace(row, compression=compression))
    codes.update(_solved(state, priced, points, metrics, warm))
    for row in counting:
        whole = row.compression.beside(compact({**free, **state.fixed, **codes}))
        codes.update(_solved(state, [replace(row, compression=whole)], points, metrics, warm))
    return {name: codes[name] for row in state.rows for name in row.names}


def _solved(
    state: LCState, rows: Sequence[Row], points: Params, metrics: Metrics, warm: Codes | None
) -> dict[str, Code]:
    """Return the codes of some rows: all are made here, or each on the rank that has its turn, and then brought here.

    What is taken together is one item. Codes travel as files: as a checkpoint has them.
    """
    items = {names[0]: (row.compression, names) for row in rows for names in together(row.compression, row.names)}

    def solved(item: str) -> dict[str, Code]:
        compression, names = items[item]
        own = None if warm is None else {name: warm[name] for name in names}
        return project(compression, {name: points[name] for name in names}, metrics, own)

    if state.exchange is None:
        return {name: code for item in items for name, code in solved(item).items()}
    costs = {item: float(sum(points[name].numel() for name in names)) for item, (_, names) in items.items()}
    files = shared_out(costs, lambda mine: (container.dumps(solved(item)) for item in mine), state.exchange.wires)
    return {
        name: code for file in files.values() for name, code in container.loads(file, limit=sys.maxsize).codes.items()
    }


def _decompress(codes: Codes, like: Params) -> dict[str, Tensor]:
    """Return Δ(Θ) on the device of the weights."""
    return {name: tensor.to(like[name].device) for name, tensor in decompress(codes).items()}


def _times(importance: Params, name: str, tensor: Tensor) -> Tensor:
    """Return M times ``tensor``."""
    return tensor * importance[name] if name in importance else tensor


def _gap(weights: Params, compressed: Params) -> float:
    """Return ‖w − Δ(Θ)‖ / ‖w‖ over the constrained tensors; 0 where all weights are zero."""
    apart = sum(float((weights[name].double() - point.double()).square().sum()) for name, point in compressed.items())
    norm = sum(float(weights[name].double().square().sum()) for name in compressed)
    return math.sqrt(apart / norm) if norm else 0.0 if apart == 0 else math.inf


def _moves(old: Codes, new: Codes) -> tuple[float | None, float | None]:
    """Return the share of choices that changed, and of pruned weights that came back."""
    before, after = ([code.labels() for code in codes.values()] for codes in (old, {n: new[n] for n in old}))
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if a is not None and b is not None]
    choices = sum(a.size for _, a in pairs)
    pruned = sum(int(np.count_nonzero(b == 0)) for b, _ in pairs)
    changed = sum(int(np.count_nonzero(b != a)) for b, a in pairs)
    returned = sum(int(np.count_nonzero((b == 0) & (a != 0))) for b, a in pairs)
    return changed / choices if choices else None, returned / pruned if pruned else None
