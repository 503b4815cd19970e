"""What `laconic evaluate` measures: loss and error of weights on data."""

from pathlib import Path

import torch

from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.work.tasks import check_weights, evaluation, task_for
from laconic.format import container
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import all_of


def evaluate(
    say: Output, weights: Path, subject: options.Subject, run: options.Run, split: options.Split, limit: int | None
) -> None:
    """Measure and print."""
    torch.set_num_threads(run.threads or torch.get_num_threads())
    if weights.suffix == ".lac":
        with container.open(weights, limit) as file:
            params, metadata = all_of(file), dict(file.metadata)
    else:
        params, metadata = load_checkpoint(weights)
    task = task_for(subject, metadata, seed=run.seed)
    check_weights(params, task)
    measures = evaluation(task, params, split.value, say)
    rows = [(name, f"{value:.6g}") for name, value in measures.items()]
    record = {"weights": str(weights), "bytes": weights.stat().st_size, "split": split.value, **measures}
    say.result(record, table(f"{weights.name}, {split.value}", {"": "left", "mean": "right"}, rows))
