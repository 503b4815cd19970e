"""What can be typed: the options that several commands share, each declared once, and those that belong together."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from laconic.cli import groups
from laconic.errors import DataError
from laconic.format.files import require_absent


class Effort(StrEnum):
    """How much work compression may be."""

    direct = "direct"
    calibrate = "calibrate"
    train = "train"


class Quality(StrEnum):
    """How hard to try to meet a budget well."""

    fast = "fast"
    default = "default"
    max = "max"


class Method(StrEnum):
    """What training does."""

    lc = "lc"
    idc = "idc"
    retrain = "retrain"
    rounds = "rounds"
    gradual = "gradual"
    surgery = "surgery"
    movement = "movement"
    ste = "ste"


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


def numbers(text: str) -> list[float]:
    """Return the numbers above 0 of a list with commas, each once.

    >>> numbers("1.5, 2,2")
    [1.5, 2.0]
    """
    try:
        found = list(dict.fromkeys(map(float, text.split(","))))
    except ValueError:
        found = []
    if not found or not all(0 < number < float("inf") for number in found):
        raise typer.BadParameter(f"{text!r} is no list of numbers above 0, such as 1.5,2,3")
    return found


Seed = Annotated[
    int,
    typer.Option(min=0, help="Of everything random: the same seed gives the same file.", rich_help_panel=groups.RUN),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output file that exists.", rich_help_panel=groups.RUN)]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        parser=size,
        metavar="SIZE",
        help="Refuse a file whose tensors take more than this, each and all together: 8GB, 500MiB. Default: 1 GiB, or "
        "1000 files.",
        rich_help_panel=groups.RUN,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        parser=size,
        metavar="SIZE",
        help="Budget: bytes of the file, as 100KB or 1.5MiB; never more, and at most 1 % less where a file lies there.",
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Training samples that are looked at, a fifth of them to judge by. 1280 unless you say.",
        rich_help_panel=groups.DATA,
    ),
]
Checkpoint = Annotated[Path, typer.Argument(help="The checkpoint, of safetensors or torch.save, folder or index.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="In a checkpoint of torch.save: where the network is, as model_state_dict or state.net; '.' for the top.",
        rich_help_panel=groups.DATA,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="LACONIC_DATA",
        help="The folder that holds the data set, or its own folder by name.",
        rich_help_panel=groups.DATA,
    ),
]


@dataclass(frozen=True)
class Budget:
    """What the file may cost: one of these at most."""

    panel: ClassVar[str] = groups.WHAT
    bits: Annotated[
        float | None,
        typer.Option(
            help="Budget: bits per weight, of the whole file. 4 unless you say. Buffers and masks are no weights."
        ),
    ] = None
    size: Size = None
    ratio: Annotated[float | None, typer.Option(help="Budget: how many times smaller than the checkpoint.")] = None
    snr: Annotated[
        float | None, typer.Option(help="Budget: signal over error of the weights in dB, matrices and kernels.")
    ] = None
    max_kl: Annotated[
        float | None,
        typer.Option(
            help="Budget, with --effort calibrate or train: KL(original ‖ compressed) in nats a row of logits, at "
            "most, on samples that are held out, or on the validation split: the smallest file found."
        ),
    ] = None
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Budget, with --effort calibrate or train: points of error on the validation split, at most, one "
            "standard error included: the smallest file found."
        ),
    ] = None
    quality: Annotated[
        Quality, typer.Option(help="With a budget: fast (no trellis), default (8 states), max (64 states).")
    ] = Quality.default


@dataclass(frozen=True)
class Which:
    """Which weights are compressed."""

    panel: ClassVar[str] = groups.WHICH
    lossless: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="With a budget: tensors that stay as they are, as 'head.*' or '*mask'; may be repeated.",
        ),
    ] = None


@dataclass(frozen=True)
class Matters:
    """How much errors of weights count."""

    panel: ClassVar[str] = groups.MATTERS
    importance: Annotated[
        Importance | None,
        typer.Option(
            help="How much the error of each weight counts, measured on the training data of the task; with a budget, "
            "too, but gradient+hessian."
        ),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(help="Of --importance unsupervised: above 1 it softens a network too sure of itself."),
    ] = None
    importance_samples: Annotated[
        int | None, typer.Option(min=1, help="Training samples it is measured on; all unless told.")
    ] = None
    kind: Annotated[Kind | None, typer.Option(help="What outputs are, where the loss of a --task does not tell.")] = (
        None
    )


@dataclass(frozen=True)
class Calibrating:
    """What calibration looks at, and may do."""

    panel: ClassVar[str] = groups.MATTERS
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="TEXT",
            help="With --effort calibrate, for a network with config.json and tokenizer.json beside it: a text (.txt, "
            ".jsonl, or token ids in .npy, .npz) in place of a task.",
        ),
    ] = None
    sequence_length: Annotated[
        int | None,
        typer.Option(min=2, help="With --calibration: tokens of a sample, at most. 512 unless you say."),
    ] = None
    stability: Annotated[
        bool,
        typer.Option("--stability", help="Also files of parts of the samples, and how far apart: thrice the work."),
    ] = False
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --effort calibrate: training samples that are looked at, a fifth of them to judge by. 1280 "
            "unless you say; 160 sequences of a language model.",
        ),
    ] = None
    no_fold: Annotated[
        bool,
        typer.Option(
            "--no-fold",
            help="With --effort calibrate: batch normalization is not folded into layers. With train and a size: its "
            "statistics stay as they are.",
        ),
    ] = False
    no_meter: Annotated[
        bool,
        typer.Option("--no-meter", help="With --effort calibrate: no record in the file of how far it is from R(D)."),
    ] = False
    no_tune: Annotated[
        bool,
        typer.Option("--no-tune", help="With --effort calibrate: biases and norms are not tuned at the end."),
    ] = False


@dataclass(frozen=True)
class Subject:
    """Which network and data; what is left open the weights may tell."""

    panel: ClassVar[str] = groups.DATA
    net: Annotated[
        str | None,
        typer.Option(
            help="A reference network: lenet300, lenet300-tanh, lenet5, mlp256, conv2, conv5-fc3, conv7-fc1, resnet20 "
            "to 110, vgg16, polino-5.3m to polino-0.1m, mobilenet-v1, mobilenet-v2, with a width (-0.75, -0.5, ...) "
            "and -cifar after it, efficientnet-lite1."
        ),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(
            help="A data set: digits (built in), mnist, fashion-mnist, cifar10, cifar100, or a folder of IDX files."
        ),
    ] = None
    data_dir: DataDir = None
    task: Annotated[
        str | None,
        typer.Option(help="A network of your own: package.module:factory, a callable that returns a laconic.Task."),
    ] = None

    @property
    def named(self) -> bool:
        """Whether one of them is named."""
        return bool(self.net or self.data or self.task)


@dataclass(frozen=True)
class Data(Subject):
    """Network and data to train on."""

    batch: Annotated[int | None, typer.Option(min=1, help="Samples per training batch, 128 unless you say.")] = None


@dataclass(frozen=True)
class Training:
    """What training does, and how long."""

    panel: ClassVar[str] = groups.TRAINING
    method: Annotated[
        Method,
        typer.Option(
            help="With --effort train: lc; rounds (prune a little, train what is left, again); or the baselines idc "
            "(iterated direct), retrain, gradual magnitude pruning, dynamic surgery, movement pruning, and ste "
            "(training through rounding)."
        ),
    ] = Method.lc
    steps: Annotated[
        int,
        typer.Option(
            min=0,
            help="LC steps at most, a third for each size under --max-drop; the gap stops it before. Or rounds, or "
            "steps of another method.",
        ),
    ] = 120
    epochs: Annotated[
        int, typer.Option(min=0, help="Epochs of one L step; with a budget repeated until it has 400 batches.")
    ] = 1
    lr: Annotated[float, typer.Option(help="Learning rate of the first L step.")] = 0.1
    lr_decay: Annotated[float, typer.Option(help="Its factor from step to step.")] = 0.98
    weight_decay: Annotated[float, typer.Option(min=0, help="α of (α/2)‖w‖² in the L steps.")] = 0.0
    mu: Annotated[float | None, typer.Option(help="First penalty parameter μ; set from the loader unless given.")] = (
        None
    )
    growth: Annotated[float, typer.Option(min=1, help="Factor of μ from step to step while choices move.")] = 1.03
    tolerance: Annotated[float, typer.Option(min=0, help="Stop when ‖w − Δ(Θ)‖/‖w‖ is below.")] = 0.01
    quadratic_penalty: Annotated[bool, typer.Option("--quadratic-penalty", help="Without multipliers.")] = False
    finetune: Annotated[int, typer.Option(min=0, help="Epochs of fine-tuning what stays free at the end.")] = 20
    alike: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the loss that is the KL from the original's outputs; 1: no targets."),
    ] = 0.0
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="JSONL", help="With --effort train: write each step to this file, for laconic log; it is replaced."
        ),
    ] = None
    keep_points: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With a budget: keep each step that is smaller or better on the validation split than all before it, "
            "and within what is asked, as FOLDER/step-012-4990B.lac.",
        ),
    ] = None


@dataclass(frozen=True)
class Run:
    """What makes one run like another."""

    panel: ClassVar[str] = groups.RUN
    seed: Seed = 0
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads of torch (training: the same results for the same number), and tensors at a time under a "
            "budget (the same file for any number). Default: its choice; all cores.",
        ),
    ] = None


@dataclass(frozen=True)
class LongRun(Run):
    """A run that can be interrupted and gone on with."""

    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted run.")] = False
    force: Force = False
