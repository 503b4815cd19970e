"""Options that several commands share, each declared once."""

import re
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from laconic.errors import DataError
from laconic.format.files import require_absent


class Split(StrEnum):
    """A part of the data."""

    train = "train"
    validation = "validation"
    test = "test"


class Importance(StrEnum):
    """What errors of weights are weighed by."""

    unsupervised = "unsupervised"
    gradient = "gradient"
    hessian = "hessian"
    both = "gradient+hessian"
    none = "none"


class Kind(StrEnum):
    """What the outputs of a network are."""

    classification = "classification"
    regression = "regression"


_FORMATS = (".lac", ".safetensors", ".pt", ".pth")


def require_output(path: Path, suffix: str, *, force: bool) -> None:
    """Check the name of the output before the work, not after.

    Raises:
        OutputExists: when it exists and ``force`` is not set.
        DataError: when it has the suffix of a format other than what is written, which no reader would take.
    """
    if path.suffix in _FORMATS and path.suffix != suffix:
        raise DataError(f"{path}: what is written is a {suffix} file; give it that suffix")
    require_absent(path, force=force)


def name_of(option: str) -> str:
    """Return an option as it is typed.

    >>> name_of("lr_decay")
    '--lr-decay'
    """
    return "--" + option.replace("_", "-")


def size(text: str) -> int:
    """Return a number of bytes from digits, perhaps with a point and a unit: KB is 1000 bytes, KiB 1024.

    >>> size("8GB"), size("1.5 MiB"), size("100")
    (8000000000, 1572864, 100)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMGT]?)(i?)B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None or (match[3] and not match[2]):
        raise typer.BadParameter(f"{text!r} is no size: give bytes, or a number and KB, MB, GB, TB, KiB, MiB, GiB, TiB")
    power = " KMGT".index(match[2].upper()) if match[2] else 0
    return int(Decimal(match[1]) * (1024 if match[3] else 1000) ** power)


Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        parser=size,
        metavar="SIZE",
        help="Refuse a file whose tensors take more than this, each and all together: 8GB, 500MiB. Default: 1 GiB, or "
        "1000 files.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and JSON, if asked).")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output file that exists.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random: the same seed gives the same file.")]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Threads of torch (training: the same results for the same number), and tensors at a time under a budget "
        "(the same file for any number). Default: its choice; all cores.",
    ),
]
Codebook = Annotated[int | None, typer.Option(min=1, help="Quantize to this many values per tensor.")]
Keep = Annotated[
    float | None, typer.Option(min=0, max=1, help="Prune: the share of weights kept, over all tensors together.")
]
Rank = Annotated[int | None, typer.Option(min=0, help="Factor each matrix into two of this rank.")]
PerTensor = Annotated[bool, typer.Option("--per-tensor", help="With --keep: the share of each tensor.")]
Plan = Annotated[
    Path | None,
    typer.Option(
        help="A TOML plan: patterns of tensor names to compressions. With a budget, the others share the rest."
    ),
]
Lossless = Annotated[
    list[str] | None,
    typer.Option(
        "--lossless",
        metavar="PATTERN",
        help="With a budget: tensors that stay as they are, as 'head.*' or '*mask'; may be repeated.",
    ),
]
Net = Annotated[
    str | None,
    typer.Option(
        help="A reference network: lenet300, lenet300-tanh, lenet5, mlp256, conv5-fc3, conv7-fc1, resnet20 to 110."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="A data set: digits (built in), mnist, fashion-mnist, cifar10, cifar100, or a folder of IDX files."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="LACONIC_DATA", help="The folder that holds the data set, or its own folder by name."),
]
TaskFactory = Annotated[
    str | None,
    typer.Option(
        "--task", help="A network of your own: package.module:factory, a callable that returns a laconic.Task."
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Samples per training batch.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted run.")]
Weigh = Annotated[
    Importance | None,
    typer.Option(help="How much the error of each weight counts, measured on the training data of the task."),
]
Temperature = Annotated[
    float | None, typer.Option(help="Of --importance unsupervised: above 1 it softens a network too sure of itself.")
]
Samples = Annotated[
    int | None, typer.Option("--importance-samples", min=1, help="Training samples it is measured on; all unless told.")
]
Outputs = Annotated[
    Kind | None, typer.Option("--kind", help="What outputs are, where the loss of a --task does not tell.")
]
