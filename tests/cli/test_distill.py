"""Networks that learn from others, as commands: whom they learn from; a stopped run ends with the same bytes."""

import pytest
from torch import nn

from laconic.cli import run
from laconic.models import nets
from laconic.models.checkpoints import load_checkpoint, save_checkpoint
from laconic.models.params import params_of
from laconic.training import loop, trainer

from .commands import parsed

SHORT = ["--effort", "train", "--codebook", "2", "--steps", "2", "--finetune", "2", "--lr", "0.05", "--quiet"]
COMPRESS, SELECT = ["compress", "NET", *SHORT], ["select", "NET", "--technique", "codebook"]
STUDENT = ["train", "--net", "mlp256", "--data", "digits", "--epochs", "3", "--lr", "0.05", "--quiet"]


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A teacher that says nothing of use."""
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_checkpoint(path, params_of(nets.build("mlp256", (1, 8, 8), 10, 3)), {"net": "mlp256"})
    return path


@pytest.fixture
def dying(monkeypatch):
    """Function: epochs after which a person stops the run, once."""

    def after(epochs):
        whole, left = loop.train_epoch, [epochs]

        def epoch(*given, **named):
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt
            return whole(*given, **named)

        monkeypatch.setattr(loop, "train_epoch", epoch)
        monkeypatch.setattr(trainer, "train_epoch", epoch)

    return after


@pytest.mark.parametrize("teacher", [["--distill", "self"], ["--distill", "OTHER", "--distill-cache", "c"]])
def test_a_compression_that_is_stopped_ends_with_the_same_bytes_and_with_no_other_teacher(
    teacher, call, net, other, dying, tmp_path, capsys
):
    plain = ["compress", str(net), "-o", "net.lac", *SHORT]
    command = [*plain, *(str(other) if one == "OTHER" else one for one in teacher)]
    call(*command)
    whole = (tmp_path / "net.lac").read_bytes()
    (tmp_path / "net.lac").unlink()
    dying(3)
    assert run(command) == 130
    capsys.readouterr()
    assert run([*command, "--resume", "--distill", str(net)]) == 1
    assert "the teacher's SHA-256 was" in capsys.readouterr().err
    assert run([*plain, "--resume"]) == 1
    assert ", is None" in capsys.readouterr().err
    call(*command, "--resume")
    assert (tmp_path / "net.lac").read_bytes() == whole


def test_a_plan_with_a_distillation_is_what_the_options_are_and_goes_with_training_alone(call, net, tmp_path, capsys):
    row = '[tensors]\n"*.weight" = { codebook = 2 }\n'
    (tmp_path / "plan.toml").write_text(f"distillation = {{ temperature = 2, alpha = 0.3, beta = 0.6 }}\n{row}")
    (tmp_path / "bare.toml").write_text(row)
    command = ["compress", str(net), "--effort", "train", "--steps", "1", "--finetune", "1", "--lr", "0.05", "--quiet"]
    call(*command, "--plan", "plan.toml", "-o", "planned.lac")
    said = ["--distill", "self", "--distill-temperature", "2", "--distill-alpha", "0.3", "--distill-beta", "0.6"]
    call(*command, "--plan", "bare.toml", "-o", "typed.lac", *said)
    assert (tmp_path / "planned.lac").read_bytes() == (tmp_path / "typed.lac").read_bytes()
    assert run([*command, "--plan", "plan.toml", "-o", "x.lac", *said]) == 1
    assert "say it once" in capsys.readouterr().err
    assert run(["compress", str(net), "--plan", "plan.toml", "-o", "x.lac"]) == 1
    assert "distillation is of effort 'train'" in capsys.readouterr().err


def test_a_network_in_training_learns_from_a_file_and_goes_on_with_no_other(call, net, other, dying, tmp_path, capsys):
    command = [*STUDENT, "-o", "a.safetensors", "--distill", str(net), "--distill-cache", "c"]
    call(*command)
    whole = (tmp_path / "a.safetensors").read_bytes()
    call(*STUDENT, "-o", "alone.safetensors")
    alone, taught = (load_checkpoint(tmp_path / name)[0] for name in ("alone.safetensors", "a.safetensors"))
    assert all(not alone[name].equal(taught[name]) for name in alone)
    (tmp_path / "a.safetensors").unlink()
    dying(2)
    assert run(command) == 130
    capsys.readouterr()
    for swapped in (
        [*STUDENT, "-o", "a.safetensors", "--distill", str(other), "--distill-cache", "c"],
        command[: len(STUDENT) + 2],
    ):
        assert run([*swapped, "--resume"]) == 1
        assert "belongs to another run" in (said := capsys.readouterr().err)
        assert "the teacher's SHA-256 was" in said
    call(*command, "--resume")
    assert (tmp_path / "a.safetensors").read_bytes() == whole


def test_a_compressed_file_teaches_as_its_weights_do(call, net, tmp_path):
    call("compress", net, "-o", "b.lac", "--codebook", "4", "--quiet")
    call("decompress", "b.lac", "-o", "b.safetensors", "--quiet")
    for name, teacher in (("one", "b.lac"), ("two", "b.safetensors")):
        call("compress", net, "-o", f"{name}.lac", *SHORT, "--distill", teacher)
    assert (tmp_path / "one.lac").read_bytes() == (tmp_path / "two.lac").read_bytes()


def test_a_network_that_was_shrunk_teaches_the_whole_one_and_the_other_way_round(call, tmp_path):
    """The factory's network is in no list: a file of it says what was cut out, and the factory what it was cut from."""
    (tmp_path / "own_network.py").write_text(WIDE)
    whole = params_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))
    whole["1.weight"][4:] = 0
    whole["1.bias"][4:] = 0
    save_checkpoint(tmp_path / "whole.safetensors", whole, {})
    of = ["--task", "own_network:make"]
    call("shrink", "whole.safetensors", *of, "-o", "small.lac", "--quiet")
    learned = ["train", *of, "--epochs", "1", "--quiet", "-o", "a.safetensors"]
    call(*learned, "--distill", "small.lac", "--hint", "small.lac", "--hint-layers", "1:1", "--hint-epochs", "1")
    call("decompress", "small.lac", "-o", "small.safetensors", "--quiet")
    for source, teacher in (("small.safetensors", "whole.safetensors"), ("whole.safetensors", "small.lac")):
        call("compress", source, *of, *SHORT, "--force", "-o", "b.lac", "--distill", teacher)


def test_alpha_alone_is_the_run_without_a_teacher(call, net, tmp_path):
    call("compress", net, "-o", "one.lac", *SHORT)
    call("compress", net, "-o", "two.lac", *SHORT, "--distill", "self", "--distill-alpha", "1", "--distill-beta", "0")
    assert (tmp_path / "one.lac").read_bytes() == (tmp_path / "two.lac").read_bytes()


TASK = """
import torch
from laconic import Task
from laconic.models import data

def make(classes=10):
    inputs, labels = data.load("digits", None, "pixels/16").splits["train"]
    torch.manual_seed(5)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))
    return Task(net, [(inputs, labels)], torch.nn.CrossEntropyLoss())

def hundred():
    return make(100)
"""


WIDE = """
import torch
from laconic import Task
from laconic.models import data

def make():
    inputs, labels = data.load("digits", None, "pixels/16").splits["train"]
    torch.manual_seed(5)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    few = [(inputs[:100], labels[:100])]
    return Task(net, few, torch.nn.CrossEntropyLoss(), validation=few)
"""


def test_a_teacher_of_ones_own_and_a_number_that_is_selected(call, net, tmp_path):
    (tmp_path / "own_teacher.py").write_text(TASK)
    call(*STUDENT, "-o", "own.safetensors", "--distill-task", "own_teacher:make")
    command = [
        "select",
        net,
        "--technique",
        "codebook",
        "--values",
        "2,4",
        "-o",
        "s.lac",
        "--effort",
        "train",
        "--steps",
        "1",
    ]
    found = parsed(call(*command, "--finetune", "0", "--lr", "0.05", "--json", "--distill", "self"))
    assert [row["value"] for row in found["values"]] == [2, 4]
    assert run([*map(str, command), "--finetune", "0", "--lr", "0.05"]) == 1, "the folder is of a run with a teacher"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*COMPRESS[:2], "--codebook", "2", "--distill", "self"], "--distill: only --effort train takes this"),
        ([*COMPRESS, "--distill-beta", "0.5"], "--distill-beta: only --distill takes this"),
        ([*COMPRESS, "--distill", "self", "--distill-temperature", "0"], "temperature is a number above 0"),
        ([*COMPRESS, "--distill", "nowhere.lac"], "nowhere.lac"),
        ([*COMPRESS, "--distill", "cut.lac"], "cut.lac"),
        ([*COMPRESS, "--distill", "nameless.safetensors"], "--distill-net or --distill-task"),
        ([*COMPRESS, "--distill-task", "own_teacher:hundred"], "has 100 classes where the network has 10"),
        ([*COMPRESS, "--distill-task", "own_teacher:make", "--distill-net", "vgg16"], "leave out --distill-net"),
        ([*STUDENT, "--distill", "self"], "name a FILE"),
        ([*STUDENT, "--distill", "spoilt.safetensors"], "spoilt.safetensors says NaN"),
        ([*SELECT, "--values", "2", "--folds", "2", "--effort", "train", "--distill", "self"], "has seen each fold"),
    ],
)  # fmt: skip
def test_teachers_that_do_not_fit_are_refused_in_a_sentence(arguments, says, net, tmp_path, capsys):
    weights, _ = load_checkpoint(net)
    (tmp_path / "own_teacher.py").write_text(TASK)
    (tmp_path / "cut.lac").write_bytes(b"LACONIC")
    save_checkpoint(tmp_path / "nameless.safetensors", params_of(nets.build("mlp256", (1, 8, 8))), {})
    spoilt = {name: tensor * float("nan") for name, tensor in weights.items()}
    save_checkpoint(tmp_path / "spoilt.safetensors", spoilt, load_checkpoint(net)[1])
    out = ["-o", "x.safetensors" if arguments[0] == "train" else "x.lac"]
    assert run([str(net) if one == "NET" else one for one in [*arguments, *out]]) == 1
    said = capsys.readouterr().err
    assert says in " ".join(said.split())
    assert not (tmp_path / out[1]).exists()
