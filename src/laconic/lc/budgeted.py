"""A budget beside a plan: the plan's rows take their bytes first, and all other weights share what remains."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

from laconic.csteps.joint import Joint
from laconic.csteps.lossless import Lossless
from laconic.csteps.parametrisations import Parametrisation, Plain
from laconic.csteps.within_bytes import Rest, WithinBytes
from laconic.errors import PlanError
from laconic.format.compact import compact
from laconic.format.ties import mark
from laconic.insight.ledger import BUFFERS, REFERENCE_BYTES
from laconic.lc.baselines import projected
from laconic.machines.sharing import Sharing
from laconic.models.params import Arrays, is_float, to_numpy
from laconic.models.ties import Untied
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan, Row
from laconic.quantize.budget import Apart, Budget, Fitted, Tools, fit, survey
from laconic.quantize.budget.search import Watch
from laconic.theory.metric import Metrics, importances_of
from laconic.training.loop import trainable
from laconic.training.task import Task


def buffers_told(network: Untied, buffers: Collection[str]) -> dict[str, str]:
    """Return the metadata that tell which tensors are buffers, of those that would else be counted as weights."""
    only = network.only(buffers)
    tensors = ((name, network.params[name]) for name in network.params if name in only)
    names = [name for name, tensor in tensors if tensor.ndim >= 2 and is_float(tensor)]
    return {BUFFERS: json.dumps(names, ensure_ascii=False)} if names else {}


def notes_of(task: Task | None, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of the file, always in one order, for its bytes are counted."""
    first = {REFERENCE_BYTES: metadata[REFERENCE_BYTES], **(task.metadata if task else {})}
    return {**first, **metadata}


def shared_out(
    network: Untied,
    budget: Budget,
    plan: Plan,
    task: Task,
    metadata: Mapping[str, str],
    *,
    buffers: Collection[str] = (),
    made: Parametrisation | None = None,
) -> Plan:
    """Return the plan for training within a budget: a row more takes all that training moves and no pattern names.

    Its C step is the budget itself (`WithinBytes`): every point of the path is a file within it.

    Args:
        network: each tensor once.
        budget: bytes, bits or a ratio of the whole file; for a drop or a KL the row has the first size that is tried,
            one that direct compression nearly always meets it with.
        plan: what some tensors get.
        task: what it is trained on.
        metadata: text that the file will have, with the size of the uncompressed one.
        buffers: names that are a module's buffers, which are no weights.
        made: how these tensors are made of what is on the grid; plain unless given.

    Raises:
        PlanError: when the plan does not fit, names everything, or leaves weights that training does not move.
    """
    rows, (tensors, only) = plan.resolve(network.params, network.names), (Arrays(network.params), network.only(buffers))
    sizes = {name: survey(name, tensors[name], "buffer" if name in only else "settled").weights for name in tensors}
    size = budget.bytes(sum(sizes.values()), int(metadata[REFERENCE_BYTES]))
    moving = set(trainable(task.module, network.params))
    unnamed = [name for row in rows[len(plan.tensors) :] for name in row.names]
    lossless = isinstance(plan.rest, Lossless)
    free = [name for name in unnamed if is_float(network.params[name]) and name in moving and (lossless or sizes[name])]
    still = [name for name in unnamed if sizes[name] and name not in moving]
    if budget.snr is not None:
        raise PlanError(f"{budget} is none that training meets: name bytes, bits, a ratio, a drop or a KL")
    if size is not None and size < 1:
        raise PlanError(f"{budget} is a file of less than a byte: ask for more")
    if still:
        raise PlanError(
            f"{', '.join(still)}: training does not move this, and the budget is met by training; give it a row of the "
            "plan, such as { grid_bits = 4 }, or keep it lossless"
        )
    if not free:
        raise PlanError(f"the plan leaves no tensor that training moves for {budget}; leave the budget out")
    if size is None:
        sure = sum(
            _BITS * sizes[name] // 8 if name in free and sizes[name] else _stored(network, name) for name in sizes
        )
        size = sure + sum(map(len, (*metadata, *metadata.values())))
    rest = Rest(metadata=dict(metadata), names=network.names)
    whole = Joint(WithinBytes(size, rest=rest, parametrisation=made or Plain()))
    return replace(plan, tensors={**plan.tensors, ", ".join(map(fnmatch_escape, free)): whole})


_BITS, _NAMED = 4, 100
"""Of a weight in the first file where a quality is asked, and bytes of a tensor's name and tables at most."""


def _stored(network: Untied, name: str) -> int:
    """Return the bytes of a tensor that stays as it is, with its name."""
    tensor = network.params[name]
    return tensor.numel() * tensor.element_size() + len(name) + _NAMED


def within(
    network: Untied,
    budget: Budget,
    plan: Plan,
    tools: Tools,
    metadata: Mapping[str, str],
    watch: Watch | None = None,
    *,
    buffers: Collection[str] = (),
    metrics: Metrics | None = None,
    reference_bytes: int | None = None,
    threads: int | None = None,
    sharing: Sharing | None = None,
) -> Fitted:
    """Return the network within its budget.

    Args:
        network: each tensor once, unless tensors are equal by their bytes.
        budget: what is asked of the whole file.
        plan: what some tensors get. Weights that no pattern names are the budget's; what else no pattern names gets
            ``rest``.
        tools: what the codec may use for the weights that are the budget's.
        metadata: text that the file will have.
        watch: told of every pass.
        buffers: names that are a module's buffers, which are no weights.
        metrics: by name: how much errors count, on the plan's rows and in the weights that are the budget's. These
            take unit and diagonal metrics, and of Kronecker ones the diagonal.
        reference_bytes: of the uncompressed file, for a ratio.
        threads: tensors that are worked on at a time.
        sharing: of the tensors among ranks; codes are then those that `fit` says.

    Raises:
        PlanError: when the plan does not fit, no step meets what it leaves of the budget, or it is one of outputs.
        UnsupportedMetric: when a compression, or the budget, cannot honour the metric of its tensor.
        WeightsError: for weights that cannot be compressed.
    """
    budget.require_of_weights()
    marks = sharing and _marks(network, sharing)
    rows, network = plan.rows(network, metrics, alike=True, marks=marks)
    tensors, buffers = Arrays(network.params), network.only(buffers)

    def is_weight(name: str) -> bool:
        return survey(name, tensors[name], "buffer" if name in buffers else "settled").weights > 0

    named, unnamed = list(rows[: len(plan.tensors)]), rows[len(plan.tensors) :]
    for row in unnamed:
        if not isinstance(row.compression, Lossless):
            named.append(Row(tuple(name for name in row.names if not is_weight(name)), row.compression))
    lossless = [name for row in named if isinstance(row.compression, Lossless) for name in row.names]
    compressed = [row for row in named if row.names and not isinstance(row.compression, Lossless)]
    with plan.advising():
        free = [name for row in unnamed for name in row.names if network.params[name].ndim > 1] if metrics else []
        given = {name: importances_of(metrics or {}, name, network.params[name]) for name in free}
        codes = {name: code for group in projected(network.params, compressed, metrics) for name, code in group.items()}
    apart = Apart(compact(codes), frozenset(lossless), buffers)
    importances = {name: to_numpy(h) for name, h in given.items() if h is not None}
    return fit(
        tensors, budget, tools, metadata, watch,
        reference_bytes=reference_bytes, threads=threads, apart=apart, importances=importances, names=network.names,
        ranks=sharing,
    )  # fmt: skip


def _marks(network: Untied, sharing: Sharing) -> dict[str, bytes]:
    """Return what equal tensors have in common; each rank looks at its own."""
    names, tensors = list(network.params), Arrays(network.params)
    return dict(zip(names, sharing.results(names, lambda own: (mark(tensors[name]) for name in own)), strict=True))
