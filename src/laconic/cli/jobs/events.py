"""Events for TensorBoard, where it is installed: the steps of a run, and what a file has come to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laconic.errors import MissingPackage
from laconic.insight.comparison import Histogram
from laconic.insight.overlay import overlays
from laconic.insight.report import Report


def writers() -> Any:
    """Return the class of what writes events: call it before the work, not after.

    Raises:
        MissingPackage: without TensorBoard.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackage("--tensorboard needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter


@contextmanager
def events(folder: Path) -> Iterator[Any]:
    """Give what writes events into a folder; errors are those of `writers`."""
    with writers()(str(folder)) as writer:
        yield writer


def add_steps(writer: Any, steps: Iterable[Mapping[str, float | None]]) -> None:
    """Write numbers by name, each a scalar; of each step ``step`` says which it is."""
    for one in steps:
        for name, value in one.items():
            if name != "step" and value is not None:
                writer.add_scalar(name, value, one["step"])


def add_report(writer: Any, report: Report) -> None:
    """Write a file: its size and distance, each number of its tensors, weights before and after, and its run."""
    writer.add_scalar("file/bytes", report.account.file_bytes, 0)
    if report.damage is not None:
        writer.add_scalar(f"file/{report.damage.unit}", report.damage.distance, 0)
    if report.snr is not None:
        writer.add_scalar("file/SNR, dB", report.snr, 0)
    for number, data in overlays(report).items():
        for name in (one.entry.name for one in report.pieces if one.entry.name in data["results"]):
            writer.add_scalar(f"{number}/{name}", data["results"][name]["value"], 0)
    for change in report.changes:
        if change.histogram is not None:
            _add_histogram(writer, f"{change.name}/before", change.histogram, change.histogram.before)
            _add_histogram(writer, f"{change.name}/after", change.histogram, change.histogram.after)
    if report.path is not None:
        add_steps(writer, report.path.steps)


def _add_histogram(writer: Any, tag: str, bins: Histogram, counts: Sequence[int]) -> None:
    """Write weights that have been counted; each stands for the middle of its bin."""
    width = (bins.high - bins.low) / len(counts)
    ends = [bins.low + (place + 1) * width for place in range(len(counts))]
    sums = [sum(n * (end - width / 2) ** power for n, end in zip(counts, ends, strict=True)) for power in (1, 2)]
    writer.add_histogram_raw(tag, bins.low, bins.high, sum(counts), *sums, ends, counts, 0)
