"""A network in a directory, calibrated on a text: what `--calibration` names becomes a task."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from laconic.cli.console import Output
from laconic.cli.options import Calibrating, Subject
from laconic.errors import DataError, MissingPackage, listed
from laconic.models.params import Params
from laconic.training.batches import Batch, Batches
from laconic.training.task import Task

if TYPE_CHECKING:
    from laconic.hf.text import Text

SEQUENCES = 160
"""Of a language model that are looked at unless somebody says how many, a fifth of them to judge by."""

SENTENCES = 1280
"""Likewise, of any other network."""


def text_task(
    say: Output, weights: Path, params: Params, subject: Subject, calibrating: Calibrating, seed: int
) -> tuple[Task, Params, Calibrating]:
    """Return a network with sequences of a text for its training split, its tensors, and the options with their number.

    Args:
        say: where notes go.
        weights: the checkpoint: a directory, or a file in one.
        params: what it holds.
        subject: whose ``net`` may name the directory.
        calibrating: with the text.
        seed: of the choice of sequences.

    Raises:
        DataError: when there is no directory with a configuration, or as `laconic.hf.text_of`.
        MissingPackage: without `transformers` and `tokenizers`.
    """
    assert calibrating.calibration is not None, "asked for a text"
    if subject.data or subject.task:
        raise DataError("--calibration brings the data itself: leave out --data and --task")
    directory = Path(subject.net) if subject.net else weights if weights.is_dir() else weights.parent
    if not (directory / "config.json").is_file():
        raise DataError(
            f"--calibration needs the network, from a config.json as Hugging Face's libraries write it: {directory} "
            "has none; name its directory by --net"
        )
    try:
        from laconic.hf.modules import module_of  # what imports transformers is imported when it is asked for
        from laconic.hf.text import text_of
    except ModuleNotFoundError as error:
        raise MissingPackage(f"--calibration needs {error.name}: pip install 'laconic[hf]'") from error
    module = module_of(directory)
    predicts = bool(getattr(module, "can_generate", bool)())
    samples = calibrating.samples or (SEQUENCES if predicts else SENTENCES)
    how: dict[str, Any] = {"samples": samples, "length": calibrating.sequence_length, "seed": seed}
    text = text_of(calibrating.calibration, directory, module, **how)
    say.note(_said(calibrating.calibration, text))
    batches = text.batches()
    _require_runs(module, batches[-1], directory)
    task = Task(module, Batches(lambda seed: batches, len(batches)), _no_loss)
    return task, _of_module(say, params, task), replace(calibrating, samples=min(samples, len(text.sequences)))


def _require_runs(module: nn.Module, batch: dict[str, Tensor], directory: Path) -> None:
    """Check that a network takes the longest sequence.

    Raises:
        DataError: when it does not.
    """
    last = {name: tensor[-1:] for name, tensor in batch.items()}
    tokens = last["input_ids"].shape[1]
    try:
        with torch.no_grad():
            module(**last)
    except (IndexError, RuntimeError) as error:  # by the table of positions, or by shapes
        raise DataError(
            f"{directory}: the network does not take a sequence of {tokens} tokens ({error}): name fewer by "
            "--sequence-length"
        ) from error
    except Exception as error:  # theirs are of many types
        raise DataError(
            f"{directory}: {type(module).__name__} does not run on the tokens of a text alone ({error}): calibrate it "
            "from Python, with batches of your own"
        ) from error


def _of_module(say: Output, params: Params, task: Task) -> Params:
    """Return the tensors that the module has, and name those that it makes by itself."""
    own = task.module.state_dict()  # buffers that it does not keep are made anew
    strange = [name for name in params if name not in own]
    if strange and len(strange) < len(params):
        say.note(f"left out, for the network does not have them: {listed(strange)}")
        return {name: params[name] for name in params if name in own}
    return params


def _said(path: Path, text: "Text") -> str:
    """Return what is read of a text."""
    chosen = f"{len(text.sequences):,} of {text.of:,} sequences"
    cut = f"; {text.cut:,} documents are longer" if text.cut else ""
    return f"{path.name}: {chosen}, {text.tokens:,} tokens, at most {text.length} each{cut}"


def _no_loss(outputs: Any, batch: Batch) -> Tensor:
    raise AssertionError("a text has no loss to train by")
