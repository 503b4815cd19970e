"""What `laconic evaluate` measures: loss and error of weights on data."""

from pathlib import Path

import torch

from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.jobs.tasks import doubts, evaluation, fitting, opened, task_for
from laconic.errors import DataError
from laconic.format import container
from laconic.format.signatures import is_lac
from laconic.models.params import all_of


def evaluate(
    say: Output, weights: Path, key: str | None, subject: options.Subject, run: options.Run, split: options.Split,
    limit: int | None,
) -> None:  # fmt: skip
    """Measure and print."""
    torch.set_num_threads(run.threads or torch.get_num_threads())
    compressed = is_lac(weights)
    if compressed and key is not None:
        raise DataError(f"{weights} is a .lac file, which holds one network: leave out --key {key}")
    if compressed:
        with container.open(weights, limit) as file:
            params, metadata = all_of(file), dict(file.metadata)
    else:
        checkpoint = opened(say, weights, key)
        params, metadata = dict(checkpoint.params), checkpoint.metadata
    task = task_for(say, subject, metadata, seed=run.seed)
    params = dict(fitting(params, task))
    if not compressed:
        say.note(*doubts(params, task, metadata))
    measures = evaluation(task, params, split.value, say)
    rows = [(name, f"{value:.6g}") for name, value in measures.items()]
    record = {"weights": str(weights), "bytes": weights.stat().st_size, "split": split.value, **measures}
    say.result(record, table(f"{weights.name}, {split.value}", {"": "left", "mean": "right"}, rows))
