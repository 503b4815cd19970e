"""What `laconic evaluate` measures: loss and error of weights on data."""

from pathlib import Path

import torch

from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.jobs.tasks import doubts, evaluation, fitting, task_for, weights_of
from laconic.format.signatures import is_lac
from laconic.models.directories import bytes_of


def evaluate(
    say: Output, weights: Path, key: str | None, subject: options.Subject, run: options.Run, split: options.Split,
    limit: int | None,
) -> None:  # fmt: skip
    """Measure and print."""
    torch.set_num_threads(run.threads or torch.get_num_threads())
    read = weights_of(say, weights, key, limit)
    task = task_for(say, subject, read.metadata, seed=run.seed)
    params = dict(fitting(read.params, task))
    if not is_lac(weights):
        say.note(*doubts(params, task, read.metadata))
    measures = evaluation(task, params, split.value, say)
    rows = [(name, f"{value:.6g}") for name, value in measures.items()]
    record = {"weights": str(weights), "bytes": bytes_of(weights), "split": split.value, **measures}
    say.result(record, table(f"{weights.name}, {split.value}", {"": "left", "mean": "right"}, rows))
