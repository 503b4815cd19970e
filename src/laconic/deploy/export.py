"""A compressed network as a graph that runs elsewhere: made, tried in onnxruntime, written and timed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import onnx
import torch
from torch import nn

from laconic import interrupts
from laconic.deploy import file as files
from laconic.deploy.calls import Call, Inputs
from laconic.deploy.edits import Edits, edits_of
from laconic.deploy.fidelity import Fidelity, fidelity
from laconic.deploy.graph import graph_of
from laconic.deploy.modules import stored
from laconic.deploy.precision import PRECISIONS, Layer, in_integers
from laconic.deploy.session import Session
from laconic.deploy.timing import ROWS, SECONDS, Time, timed
from laconic.errors import ExportError, PlanError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.files import require_absent
from laconic.models.parametrized import evaluating
from laconic.models.params import unwrapped
from laconic.training.judges import Kind

TOLERANCE = 1e-4
"""How far outputs of a graph in floats may be from those of the network, of the largest."""


class Compressed(Protocol):
    """What has codes: a `laconic.Result`."""

    @property
    def codes(self) -> Mapping[str, Code]:
        """Of every parameter and buffer, by name."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Of the file: what was cut out of the network is told there."""


Watch = Callable[[str, float], None]
"""(what is being done, share of all that is done)."""


@final
@dataclass(frozen=True)
class Exported:
    """A graph on disk, and what is known of it.

    Args:
        written: the file, or the two files.
        precision: "float", "int8" or "int4".
        layers: what became of each weight of a dense layer or a convolution.
        forms: layers that run as thin products, by name.
        fidelity: its outputs beside those of the decompressed network.
        times: by number of samples, then by what runs, the first being torch with the decompressed weights.
        threads: that all of these had.
        notes: sentences on what is to be known.
    """

    written: files.Written
    precision: str
    layers: tuple[Layer, ...]
    forms: Mapping[str, str]
    fidelity: Fidelity
    times: Mapping[int, Mapping[str, Time]]
    threads: int
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        written = self.written
        return {
            "output": str(written.path),
            "constants": None if written.constants is None else str(written.constants),
            "bytes": written.bytes,
            "precision": self.precision,
            "layers": [vars(layer) for layer in self.layers],
            "factored": sorted(self.forms),
            "fidelity": vars(self.fidelity),
            "times": {str(rows): {name: vars(one) for name, one in own.items()} for rows, own in self.times.items()},
            "threads": self.threads,
            "notes": list(self.notes),
        }


def export(
    weights: "Compressed | Mapping[str, Code] | str | Path",
    network: nn.Module,
    inputs: Any,
    output: str | Path,
    *,
    precision: str = "float",
    requantize: bool = False,
    original: nn.Module | None = None,
    kind: Kind | None = None,
    samples: int = 1024,
    external: bool = False,
    threads: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    force: bool = False,
    watch: Watch = lambda text, share: None,
) -> Exported:
    """Write a compressed network as a graph of ONNX that onnxruntime has loaded and run.

    Factored layers run as thin ones where that is fewer multiply-adds; the number of samples is dynamic. What was
    shrunk is as small in the graph.

    Args:
        weights: a `laconic.Result`, codes by name, or a `.lac` file.
        network: whose weights they are; it stays as it is. Of weights that were shrunk, the network as it was before.
        inputs: a `laconic.Task`, or a batch, or a list of batches, each a tensor, a tuple of arguments, or a dict.
        output: the file, ``net.onnx``.
        precision: "float"; "int8", where dense layers quantize what they read as it comes and convolutions by ranges
            seen in ``inputs``; "int4", of dense layers alone, with a scale for each block.
        requantize: integers are made for the graph where the file has others, or none; what that costs is in the
            fidelity. Without it that is an error, but for tensors that the file has without loss: they stay floats.
        original: is timed too, as a graph of its own.
        kind: of the outputs, where ``inputs`` are no task: "classification" or "regression".
        samples: of the inputs that are looked at.
        external: constants lie in a file beside the graph, as they do from 1.5 GB on.
        threads: of torch's default unless given.
        limit: bytes that the tensors of a file may take, see `laconic.open`.
        seed: of the order of a task's training batches.
        force: replace an existing file.
        watch: is told how far it is.

    Raises:
        ExportError: for an operator that ONNX does not have, integers that are not the graph's, a graph that
            onnxruntime does not load, and one in floats whose outputs differ by more than 1e-4 of the largest.
        DataError: for inputs that the network does not take.
        WeightsError: for weights that are not the network's, or not finite.
        OutputExists: when ``output`` exists and ``force`` is not set.
    """
    if precision not in PRECISIONS:
        raise PlanError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if requantize and precision == "float":
        raise PlanError("requantize goes with integers: precision 'int8' or 'int4'")
    path, threads = Path(output), threads or torch.get_num_threads()
    files.require_suffix(path)
    require_absent(path, force=force)
    watch("reading", 0.0)
    codes, edits = _read(weights, limit)
    given = Inputs.of(inputs, unwrapped(network), samples=samples, seed=seed, kind=kind)
    plain, thin = stored(network, codes, (), edits).module, stored(network, codes, ("factored",), edits)
    watch("making the graph", 0.1)
    graph = graph_of(thin.module, given.seen[0])
    base = graph if precision != "float" else None
    layers: tuple[Layer, ...] = ()
    if precision != "float":
        watch(f"making {precision}", 0.3)
        graph, layers = in_integers(graph, thin, precision, given.seen, requantize=requantize)
    found: list[Fidelity] = []
    sessions: list[Session] = []

    def check(one: onnx.ModelProto | Path) -> None:
        watch("comparing outputs", 0.5)
        sessions.append(Session.of(one, threads))
        found.append(_compared(plain, sessions[0], given))
        if precision == "float" and found[0].largest > TOLERANCE:
            raise ExportError(
                f"outputs of the graph differ from those of the network by {found[0].largest:.1e} of the largest, more "
                f"than {TOLERANCE:.0e}; nothing was written"
            )

    written = files.write(graph, path, check, external=external, force=force)
    runs: dict[str, Session] = {}
    if original is not None:
        runs["original, float"] = Session.of(graph_of(unwrapped(original), given.seen[0]), threads)
    if base is not None and base.ByteSize() < files.LARGE:
        runs["float"] = Session.of(base, threads)
    runs[precision] = sessions[0]
    watch("timing", 0.7)
    times = _times(plain, runs, given.judged[0], threads, watch)
    return Exported(written, precision, layers, thin.forms, found[0], times, threads, _notes(precision, times))


def _read(
    weights: "Compressed | Mapping[str, Code] | str | Path", limit: int | None
) -> tuple[Mapping[str, Code], Edits]:
    """Return the codes of all tensors by name, and what was cut out of their network; codes alone say nothing of it."""
    if isinstance(weights, str | Path):
        with container.open(weights, limit) as opened:
            opened.require_room("codes")
            return opened.codes(), edits_of(opened.metadata)
    return (weights, Edits()) if isinstance(weights, Mapping) else (weights.codes, edits_of(weights.metadata))


def _compared(module: nn.Module, session: Session, inputs: Inputs) -> Fidelity:
    """Return how far the graph is from the network on the inputs that judge."""
    with evaluating(module):
        pairs = (
            (call.rows, call.of(module), [torch.from_numpy(one) for one in session.run(session.feeds(call))])
            for call in inputs.judged
        )
        return fidelity(pairs, inputs.kind)


def _times(
    module: nn.Module, sessions: Mapping[str, Session], call: Call, threads: int, watch: Watch
) -> dict[int, dict[str, Time]]:
    """Return the times of torch and of each graph, by number of samples."""
    times, before = dict[int, dict[str, Time]](), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with evaluating(module):
            for number, rows in enumerate(ROWS):
                interrupts.check()
                watch(f"timing {rows} samples", 0.7 + 0.3 * number / len(ROWS))
                some = call.first(rows)
                runs: dict[str, Callable[[], object]] = {"torch": lambda some=some: some.of(module)}  # type: ignore[misc]
                for name, session in sessions.items():
                    feeds = session.feeds(some)
                    runs[name] = lambda session=session, feeds=feeds: session.run(feeds)  # type: ignore[misc]
                times[rows] = timed(runs, SECONDS)
    finally:
        torch.set_num_threads(before)
    return times


def _notes(precision: str, times: Mapping[int, Mapping[str, Time]]) -> tuple[str, ...]:
    """Say where integers are slower than floats."""
    slow = {rows: own["float"].ratio / own[precision].ratio for rows, own in times.items() if "float" in own}
    return tuple(
        f"called with {rows} samples the graph in {precision} takes {ratio:.1f} times as long as in floats"
        for rows, ratio in slow.items()
        if ratio > 1.05 and precision != "float"
    )
