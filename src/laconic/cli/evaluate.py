"""`laconic evaluate`: loss and error of weights on data."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.tasks import doubts, evaluation, fitting, task_of
from laconic.format import container
from laconic.format.signatures import is_lac
from laconic.models.checkpoints import open_checkpoint
from laconic.models.params import all_of


def command(
    weights: Annotated[Path, typer.Argument(help="A .lac file, or a checkpoint of safetensors or torch.save.")],
    net: options.Net = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    task: options.TaskFactory = None,
    split: Annotated[options.Split, typer.Option(help="Which part of the data.")] = options.Split.test,
    seed: options.Seed = 0,
    limit: options.Limit = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the loss and the error of a checkpoint or of a .lac file, exactly as it decompresses.

    Network and data are taken from the file where it names them.

    Examples:
      laconic evaluate net.lac --data-dir DIR

      laconic evaluate net.pt --net lenet300 --data digits --split validation
    """
    torch.set_num_threads(threads or torch.get_num_threads())
    say = Output(as_json, quiet)
    if is_lac(weights):
        with container.open(weights, limit) as file:
            params, metadata = all_of(file), dict(file.metadata)
    else:
        opened = open_checkpoint(weights)
        say.note(*opened.notes)
        params, metadata = dict(opened.params), opened.metadata
    subject = task_of(net, data, data_dir, task, metadata, seed=seed)
    params = dict(fitting(params, subject))
    if not is_lac(weights):
        say.note(*doubts(params, subject, metadata))
    measures = evaluation(subject, params, split.value, say)
    rows = [(name, f"{value:.6g}") for name, value in measures.items()]
    record = {"weights": str(weights), "bytes": weights.stat().st_size, "split": split.value, **measures}
    say.result(record, table(f"{weights.name}, {split.value}", {"": "left", "mean": "right"}, rows))
