"""What attention transfer does and costs: maps of teacher and student as a picture, and an epoch with a teacher.

    python benchmarks/attention.py -o docs/notes/attention-maps.png  # digits: a quarter of a minute
    python benchmarks/attention.py --cost  # ResNet-20 from ResNet-32: a quarter of a minute

The picture: a wide network of three convolutions learns scikit-learn's digits; two thin ones with the same first
weights and batches learn them alone, and with its attention. Rows are test images. The cost, in seconds of the
processor: the fastest of some epochs, by turns, of plain training, of the teacher's forward passes alone, and of
training with attention by activations in three groups.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.models import data, nets
from laconic.models.params import Params, params_of
from laconic.teachers.attention import attention_map, attentive
from laconic.teachers.hidden import hidden_of
from laconic.teachers.teacher import Teacher
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task, classification

LAYERS = ("1", "2")
"""Activations after the second and the third convolution."""
EPOCHS, BETA, SHOWN, TURNS = 30, 2e3, 5, 4
GROUPS = [(f"layer{stage}", f"layer{stage}") for stage in (1, 2, 3)]


def network(width: int, seed: int) -> nn.Sequential:
    """Three convolutions on images of 8 × 8, each with its activation, and one linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Sequential(nn.Conv2d(before, width, 3, padding=1), nn.ReLU()) for before in (1, width, width)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def trained(task: Task, lr: float) -> Params:
    """Return the weights after training."""
    return minimise(task, params_of(task.module), Optimization(EPOCHS, lr, cosine), 0)[0]


def picture(output: Path) -> dict[str, float]:
    """Draw the maps, and return test errors and how near maps of the students are to those of the teacher."""
    digits = data.load("digits", None, "pixels/16")
    tasks = [classification(network(width, seed), digits, batch=32) for width, seed in ((24, 1), (8, 2), (8, 2))]
    weights = [trained(tasks[0], 0.1), trained(tasks[1], 0.02)]
    taught = Teacher(tasks[0].module, weights[0])
    weights.append(trained(attentive(tasks[2], taught, [(layer, layer) for layer in LAYERS], BETA), 0.02))
    found = {
        name: Teacher(task.module, own)
        for name, task, own in zip(("teacher", "alone", "with attention"), tasks, weights, strict=True)
    }
    inputs = digits.split("test")[0]
    maps = {name: attention_map(hidden_of(one, (inputs,), [LAYERS[-1]])[LAYERS[-1]]) for name, one in found.items()}
    figure = Figure(figsize=(5.2, 1.35 * SHOWN), layout="constrained")
    axes = figure.subplots(SHOWN, 4)
    for row, image in zip(axes, range(SHOWN), strict=True):
        columns = {"image": inputs[image].flatten(), **{name: each[image] for name, each in maps.items()}}
        for place, (name, values) in zip(row, columns.items(), strict=True):
            place.imshow(values.reshape(8, 8).numpy(), cmap="gray_r" if name == "image" else "inferno")
            place.set_axis_off()
            if image == 0:
                place.set_title(name, fontsize="small")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110)
    record = dict[str, float]()
    for name, task, own in zip(found, tasks, weights, strict=True):
        record[f"test error, {name}"] = task.evaluate(own, "test")["error"]
        record[f"cosine of maps, {name}"] = float(F.cosine_similarity(maps[name], maps["teacher"]).mean())
    return record


def cost(batches: int = 6, size: int = 32) -> dict[str, float]:
    """Return seconds of the processor for an epoch, and the ratio that is promised to be 1.1 at most."""
    g = torch.Generator().manual_seed(0)
    split = [(torch.randn(size, 3, 32, 32, generator=g), torch.arange(size) % 10) for _ in range(batches)]
    task = Task(nets.build("resnet20"), train=split, validation=split[:1], loss=nn.CrossEntropyLoss())
    taught = Teacher(nets.build("resnet32"))
    attended, start, how = attentive(task, taught, GROUPS), params_of(task.module), Optimization(1, 1e-3)

    def forward() -> Tensor:
        return torch.stack([taught.says(batch).sum() for batch in split])

    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: minimise(task, start, how, 0),
        "the teacher alone": forward,
        "with attention": lambda: minimise(attended, start, how, 0),
    }
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for name, run in ways.items():
            begun = time.process_time()
            run()
            seconds[name] = min(seconds[name], time.process_time() - begun)
    ratio = seconds["with attention"] / (seconds["plain"] + seconds["the teacher alone"])
    return {**{name: round(value, 3) for name, value in seconds.items()}, "ratio": round(ratio, 3)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="the picture to write (.png)")
    parser.add_argument("--cost", action="store_true", help="measure what an epoch costs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not (arguments.output or arguments.cost):
        parser.error("name a picture by -o, or ask for --cost")
    if arguments.output:
        print(json.dumps(picture(arguments.output), indent=1))
    if arguments.cost:
        print(json.dumps(cost(), indent=1))
