"""A page for each technique, from the table in laconic.plans.techniques and the prose in techniques.toml.

    python docs/make_techniques.py [--check]

Writes docs/techniques: a page and a picture for each technique, and README.md, their index. With --check nothing is
written, and the exit status is 1 where a page is not what would be written or a picture is missing. Pictures show the
second kernel of a small network, trained here on the images of digits that scikit-learn ships.
"""

import argparse
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from laconic import Compression
from laconic.cli.jobs.techniques import KINDS
from laconic.csteps.fixed_assignments import Hashed
from laconic.models import data
from laconic.models.params import params_of
from laconic.plans.techniques import TECHNIQUES, Technique
from laconic.plans.toml import in_toml, parse_compression
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import classification
from laconic.training.trainer import start_training, train

FOLDER = Path(__file__).parent / "techniques"
PROSE: dict[str, dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "techniques.toml").read_text(encoding="utf-8")
)
FAMILIES = {
    "lossless": "Lossless, and sums",
    "codebook": "Few values: quantization",
    "keep": "Few weights: pruning",
    "rank": "Few dimensions: low rank and tensors",
}
"""The families by their first technique."""


def pages() -> dict[str, str]:
    """Return every page by its file name."""
    return {"README.md": index()} | {f"{key}.md": page(technique) for key, technique in TECHNIQUES.items()}


def page(technique: Technique) -> str:
    """Return the page of a technique."""
    key, prose = technique.key, PROSE[technique.key]
    source = example(technique)
    lines = [
        f"# {key}",
        "",
        f"{technique.line[0].upper()}{technique.line[1:]}.",
        "",
        f"    {prose['problem']}",
        "",
        f"**When.** {prose['use']}",
        "",
        f"**When not.** {prose['avoid']}",
        "",
        f"**Exactness.** {exactness(technique)}",
        "",
        f"**Metrics.** {metrics(technique)}",
        "",
        f"![A kernel before and after, and the histogram of its weights]({key}.png)",
        "",
        f"`{in_toml(shown(technique))}` on a 16 × 8 × 3 × 3 kernel that was trained, as the matrix of its filters.",
        "",
        "| parameter | kind | is |",
        "|---|---|---|",
        *(f"| `{name}` | {KINDS[option.kind]} | {option.unit} |" for name, option in technique.options.items()),
        "",
        "The first names the row; the others may be left out." if len(technique.options) > 1 else "It names the row.",
        "",
        "As the row of a plan, and in Python:",
        "",
        "```toml",
        "[tensors]",
        f'"weight" = {in_toml(shown(technique))}',
        "```",
        "",
        "```python",
        *(f">>> {line}" for line in source),
        ran(source),
        "",
        "```",
        "",
        "That is the relative squared error, and whole bits a weight in the file, on normal noise.",
        "",
        "[All techniques](README.md)",
    ]
    return "\n".join(lines) + "\n"


def index() -> str:
    """Return the page that lists all."""
    lines = [
        "# Techniques",
        "",
        "What a row of a plan can ask for; `laconic techniques` prints the same table. Every row also takes",
        "`joint = true`: one constraint over all its tensors, rather than one for each.",
        "",
        "In the equations w are the weights of a tensor, θ what they become, P their number, and h their importances:",
        "1 under the unit metric, the diagonal of a metric under others. A price is in squared weights; in LC it is in",
        "units of the loss: the penalty there is (μ/2) ‖w − θ‖², and the projection at μ gets 2 · price/μ.",
    ]
    for key, technique in TECHNIQUES.items():
        if key in FAMILIES:
            lines += ["", f"## {FAMILIES[key]}", "", "| technique | does | exact | row |", "|---|---|---|---|"]
        exact = "approximate" if not technique.exact else "but for some metrics" if technique.approximate else "exact"
        lines.append(f"| [{key}]({key}.md) | {technique.line} | {exact} | `{in_toml(technique.example)}` |")
    return "\n".join(lines) + "\n"


def exactness(technique: Technique) -> str:
    """Return what the table promises, as a sentence."""
    if not technique.exact:
        return "Approximate: a better point may exist."
    hard = " and ".join(metric.__name__.lower() for metric in technique.approximate)
    promise = "Exact: no feasible point is better, but for the rounding to the tensor's dtype"
    promise += f"; approximate under a {hard} metric." if hard else "."
    nested = [name for name, option in technique.options.items() if option.kind is Compression]
    if nested:
        promise += (
            f" With {' or '.join(f'`{name}`' for name in nested)} it is a composition, each step optimal by itself."
        )
    return promise


def metrics(technique: Technique) -> str:
    """Return the metrics that are honoured, as a sentence."""
    names = [metric.__name__.lower() for metric in technique.metrics]
    return f"Takes {', '.join(names)}; refuses others." if len(names) > 1 else f"Takes {names[0]} alone."


def shown(technique: Technique) -> Mapping[str, Any]:
    """Return the row of the example and of the picture."""
    found: Mapping[str, Any] = PROSE[technique.key].get("row", technique.example)
    return found


def example(technique: Technique) -> list[str]:
    """Return the lines of the example in Python; the last is an expression."""
    compression = parse_compression(shown(technique), technique.key)
    imports = "from laconic.csteps.fixed_assignments import Hashed" if technique.key == "hashed" else None
    return [
        "import laconic, torch",
        *([imports] if imports else []),
        "noise = torch.Generator().manual_seed(0)",
        'weights = {"weight": torch.randn(32, 16, 3, 3, generator=noise) / 8}',
        f"result = laconic.compress(weights, {said(compression)})",
        'lost = weights["weight"] - result.params["weight"]',
        'error = lost.square().sum() / weights["weight"].square().sum()',
        'f"{error:.2f}", round(8 * result.file_bytes / 4608)',
    ]


def said(value: Any) -> str:
    """Return a compression as one writes it in Python: what is not the default alone."""
    if isinstance(value, tuple):
        return f"({', '.join(map(said, value))}{',' * (len(value) == 1)})"
    if not is_dataclass(value):
        return repr(value)
    words, ordered = [], True
    for field in fields(value):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        own = getattr(value, field.name)
        if own == default:
            ordered = False
        else:
            words.append(said(own) if ordered and default is MISSING else f"{field.name}={said(own)}")
    name = type(value).__name__
    return f"{'' if isinstance(value, Hashed) else 'laconic.'}{name}({', '.join(words)})"


def ran(source: list[str]) -> str:
    """Return what the last line of an example gives, once it is run."""
    names: dict[str, Any] = {}
    exec("\n".join(source[:-1]), names)
    return repr(eval(source[-1], names))


@cache
def kernel() -> torch.Tensor:
    """Return the second kernel of a small network that reads digits, shape (16, 8, 3, 3)."""
    images = data.load("digits", None, "pixels/16")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, padding=1)]
        module = torch.nn.Sequential(
            *layers, torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(256, 10)
        )
    task = classification(module, images)
    state = start_training(params_of(module))
    for reached in train(task, state, Optimization(epochs=20, lr=0.05, anneal=cosine), 0):
        state = reached
    return state.weights["2.weight"].detach()


def picture(technique: Technique) -> bytes:
    """Return the PNG of a layer before and after."""
    before = kernel()
    code = parse_compression(shown(technique), technique.key).project({"w": before})["w"]
    after = torch.from_numpy(np.array(code.decompress()))
    limit = float(before.abs().max())
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    axes = figure.subplots(2, 2, width_ratios=(2.6, 1), sharex="col")
    for row, (name, tensor) in enumerate({"before": before, "after": after}.items()):
        heat, histogram = axes[row]
        heat.imshow(
            tensor.reshape(16, 72).numpy(), cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="none"
        )
        heat.set(xticks=range(0, 73, 9), yticks=range(0, 16, 4), ylabel=name)
        heat.set_xticks([place - 0.5 for place in range(0, 73, 9)], labels=[])
        histogram.hist(tensor.ravel().numpy(), bins=np.linspace(-limit, limit, 72), color="0.25")
        histogram.set(yticks=[])
    axes[0, 0].set_title("weights: 16 filters, 8 inputs of 3 × 3", fontsize=8)
    axes[0, 1].set_title("histogram", fontsize=8)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    small = BytesIO()
    image = Image.open(buffer).convert("RGB").quantize(96, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say what is not as it would be written")
    torch.set_num_threads(1)
    if parser.parse_args().check:
        found = stale()
        sys.stderr.writelines(f"{name} is not what would be written\n" for name in found)
        return 1 if found else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    for key, technique in TECHNIQUES.items():
        (FOLDER / f"{key}.png").write_bytes(picture(technique))
    return 0


def stale() -> list[str]:
    """Return the files of docs/techniques that are missing, are not what would be written, or have no technique."""
    written = pages()
    wanted = set(written) | {f"{key}.png" for key in TECHNIQUES}
    there = {path.name for path in FOLDER.iterdir()} if FOLDER.is_dir() else set()
    changed = {name for name in there & set(written) if (FOLDER / name).read_text(encoding="utf-8") != written[name]}
    return sorted(wanted ^ there | changed)


if __name__ == "__main__":
    raise SystemExit(main())
