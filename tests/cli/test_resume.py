"""A run killed at any moment goes on and ends with the bytes of a run that never stopped."""

import itertools
import json
import signal
import subprocess
import sys
import time

import forked
import pytest
import torch

from laconic.cli import run
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

LC = ["--codebook", "2", "--effort", "train", "--steps", "4", "--finetune", "2", "--lr", "0.05", "--threads", "1"]
TRAIN = ["train", "--net", "lenet300", "--data", "digits", "--epochs", "4", "--lr", "0.05", "--threads", "1"]

START = "import os, sys; os.execv(sys.executable, [sys.executable, '-m', 'laconic', 'version'])"

CHILD = """
import ctypes, json, os, signal, sys
moment, number, *arguments = sys.argv[1:]
moment, number = json.loads(moment), int(number)

def strike():
    # what a callback raises is dropped, as while LLVM works
    ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), number))()

def dies(function, at, before):
    calls = 0
    def mortal(*args, **options):
        nonlocal calls
        calls += 1
        if before and calls == at:
            strike()
        result = function(*args, **options)
        if calls == at and not before:
            strike()
        return result
    return mortal

import laconic.training.loop, laconic.training.trainer, laconic.lc.finetune, laconic.format.files
import laconic.cli.jobs.compress, laconic.cli.jobs.train
if moment:
    where, at, before = moment
    if where == "epoch":
        laconic.training.loop.train_epoch = dies(laconic.training.loop.train_epoch, at, before)
        laconic.training.trainer.train_epoch = laconic.training.loop.train_epoch
    elif where == "start":
        laconic.cli.jobs.compress.opened = laconic.cli.jobs.train.task_for = dies(None, 1, True)
    else:
        setattr(laconic.format.files.os, where, dies(getattr(laconic.format.files.os, where), at, before))

from laconic.cli import run
sys.exit(run(arguments))
"""


def begun(arguments, folder, moment=None, number=signal.SIGKILL):
    """A process that runs the command and gets the signal at the moment."""
    return forked.Forked.start(CHILD, [json.dumps(moment), int(number), *arguments], folder)


@pytest.fixture
def command(tmp_path_factory):
    """Function: arguments and a moment of death → exit code and what was said, first as errors."""
    folder = tmp_path_factory.mktemp("said")

    def start(arguments, moment=None, number=signal.SIGKILL):
        code, out, err = begun(arguments, folder, moment, number).wait()
        return code, err + out

    return start


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    assert run([*TRAIN, "-o", str(path), "--epochs", "2", "--quiet"]) == 0
    return path


@pytest.fixture(scope="module")
def whole(net, tmp_path_factory):
    """The file of a run that nothing interrupted, and its report."""
    folder = tmp_path_factory.mktemp("whole")
    code, out, _ = begun(["compress", net, "-o", folder / "net.lac", *LC, "--json"], folder).wait()
    assert code == 0
    return (folder / "net.lac").read_bytes(), json.loads(out)


MOMENTS = {
    "at start-up": (("start", 1, True), None),
    "before the first checkpoint is in place": (("replace", 1, True), None),
    "after the first checkpoint": (("replace", 1, False), 0),
    "in the first L step": (("epoch", 1, True), 0),
    "while the third checkpoint is written": (("fsync", 5, True), 1),  # of each checkpoint the file and its folder
    "after the third checkpoint": (("replace", 3, False), 2),
    "after the last L step": (("epoch", 4, False), 3),
    "in fine-tuning": (("epoch", 6, True), "4 and epoch 1"),
    "before the file is in place": (("link", 1, True), "4 and epoch 2"),
}


LIKE_OTHERS = ("after the first checkpoint", "after the third checkpoint")


@pytest.mark.parametrize(
    ("moment", "step"),
    [pytest.param(*row, marks=pytest.mark.full if name in LIKE_OTHERS else ()) for name, row in MOMENTS.items()],
    ids=MOMENTS,
)
def test_a_killed_compression_resumes_to_the_same_bytes(command, net, whole, tmp_path, moment, step):
    output = tmp_path / "net.lac"
    arguments = ["compress", net, "-o", output, *LC]
    assert command(arguments, moment)[0] == -signal.SIGKILL
    assert not output.exists()
    exitcode, said = command([*arguments, "--resume", "--json"])
    assert exitcode == 0, said
    assert said.startswith("there is no " if step is None else f"resuming after step {step}")
    assert output.read_bytes() == whole[0]
    record = json.loads(said[said.index("{") :])
    assert record["history"] == whole[1]["history"]
    assert len(record["history"]) == record["steps"] + 1 == 5
    assert not output.with_name("net.lac.checkpoint").exists()


def test_a_chain_of_kills(command, net, whole, tmp_path):
    output = tmp_path / "net.lac"
    arguments = ["compress", net, "-o", output, *LC]
    chain = [("replace", 2, False), ("epoch", 2, True), ("start", 1, True), ("replace", 3, True), ("epoch", 2, False)]
    for number, moment in enumerate(chain):
        exitcode, said = command([*arguments, *(["--resume"] if number else [])], moment)
        assert exitcode == -signal.SIGKILL, said
    assert command([*arguments, "--resume"])[0] == 0
    assert output.read_bytes() == whole[0]


def test_a_finished_file_is_reported_by_resume_and_another_is_refused(command, net, whole, tmp_path):
    """The kill falls between the file and the report."""
    output = tmp_path / "net.lac"
    arguments = ["compress", net, "-o", output, *LC]
    assert command(arguments, ("unlink", 1, False))[0] == -signal.SIGKILL
    assert output.read_bytes() == whole[0]
    output.write_bytes(b"another")
    for moment in (None, ("replace", 2, False)):  # all is done, or only two steps
        if moment:
            assert command([*arguments, "--force"], moment)[0] == -signal.SIGKILL
        exitcode, said = command([*arguments, "--resume"])
        assert (exitcode, output.read_bytes()) == (1, b"another")
        assert "exists" in said
    assert command([*arguments, "--resume", "--force"], ("replace", 8, False))[0] == -signal.SIGKILL
    exitcode, said = command([*arguments, "--resume", "--json"])
    assert exitcode == 0, said
    assert json.loads(said[said.index("{") :]) == {**whole[1], "output": str(output)}
    assert output.read_bytes() == whole[0]
    assert [path.name for path in tmp_path.iterdir()] == ["net.lac"]


SIGNALS = {
    "Ctrl-C in an L step": (signal.SIGINT, ("epoch", 2, True), "Go on with"),
    "SIGTERM in fine-tuning": (signal.SIGTERM, ("epoch", 6, True), "Go on with"),
    "SIGTERM as the first checkpoint is written": (signal.SIGTERM, ("fsync", 1, True), "Nothing had been saved"),
    "Ctrl-C once the file is in place": (signal.SIGINT, ("link", 1, False), "net.lac is complete"),
}


@pytest.mark.parametrize(("number", "moment", "hint"), SIGNALS.values(), ids=SIGNALS)
def test_a_signal_is_heard_where_a_callback_drops_it_and_its_hint_works(
    command, net, whole, tmp_path, number, moment, hint
):
    output = tmp_path / "net.lac"
    arguments = ["compress", net, "-o", output, *LC]
    code, said = command(arguments, moment, number)
    assert code == 128 + number
    assert said.startswith("interrupted. ")
    assert len(said.splitlines()) == 1
    assert hint in said
    assert command([*arguments, "--resume"])[0] == 0
    assert output.read_bytes() == whole[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_a_process_imports_ends_it(tmp_path, number):
    """A real one, started as users start it; what it imports first waits."""
    (tmp_path / "typer.py").write_text("import time; print(flush=True); time.sleep(60)")
    command = [sys.executable, "-c", f"import signal; signal.signal({int(number)}, signal.SIG_DFL)\n{START}"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1)
        process.send_signal(number)
        out, err = process.communicate(timeout=forked.PATIENCE)
    assert (process.returncode, out, err) == (128 + number, b"", b"interrupted\n")


@pytest.mark.parametrize(
    "options",
    [
        ["--keep", "0.1", "--codebook", "4"],
        pytest.param(["--rank", "2"], marks=pytest.mark.full),
        ["--codebook", "3", "--method", "idc"],
        ["--codebook", "3", "--method", "retrain"],
    ],
    ids=lambda options: " ".join(options),
)
def test_every_technique_resumes(command, net, tmp_path, options):
    files = []
    for name, moment in (("whole.lac", None), ("killed.lac", ("replace", 3, False))):
        arguments = ["compress", net, "-o", tmp_path / name, *LC[2:], *options]
        assert command(arguments, moment)[0] == (0 if moment is None else -signal.SIGKILL)
        if moment is not None:
            assert command([*arguments, "--resume"])[0] == 0
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param([("epoch", 1, True)], marks=pytest.mark.full),
        [("replace", 1, False)],
        [("epoch", 3, True), ("replace", 1, True), ("start", 1, True)],
        [("link", 1, False)],
    ],
    ids=["in the first epoch", "after it", "three times", "once the file is in place"],
)
def test_killed_training_resumes_to_the_same_bytes(command, tmp_path, chain):
    assert command([*TRAIN, "-o", tmp_path / "whole.safetensors"])[0] == 0
    output = tmp_path / "net.safetensors"
    for number, moment in enumerate(chain):
        assert command([*TRAIN, "-o", output, *(["--resume"] if number else [])], moment)[0] == -signal.SIGKILL
        assert output.exists() == (moment == ("link", 1, False))
    exitcode, said = command([*TRAIN, "-o", output, "--resume"])
    assert exitcode == 0, said
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not output.with_name("net.safetensors.checkpoint").exists()


def test_killed_regularized_training_resumes_to_the_same_bytes(command, tmp_path, capsys):
    arguments = [*TRAIN, "--epochs", "2", "--regularize", "orthogonality", "--price", "0.01", "-o"]
    assert command([*arguments, tmp_path / "whole.safetensors"])[0] == 0
    output = tmp_path / "net.safetensors"
    assert command([*arguments, output], ("epoch", 2, True))[0] == -signal.SIGKILL
    assert "--price was 0.01, is 0.1" in refused(capsys, [*arguments, output, "--price", "0.1", "--resume"])
    assert command([*arguments, output, "--resume"])[0] == 0
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def wait_for(alive, path, steps):
    """Wait until the checkpoint holds so many steps."""
    until = time.monotonic() + forked.PATIENCE
    while alive() and time.monotonic() < until:
        if path.exists() and len(json.loads(load_checkpoint(path)[1]["history"])) > steps:
            return
        time.sleep(0.01)
    pytest.fail(f"step {steps} has not been reached")


def test_kill_minus_nine_from_outside(command, net, tmp_path):
    """Wherever it strikes, what is left is a checkpoint to go on from, and neither file is ever half of one."""
    output, checkpoint = tmp_path / "net.lac", tmp_path / "net.lac.checkpoint"
    long = [*LC, "--steps", "12", "--tolerance", "0"]
    arguments = ["compress", net, "-o", output, *long, "--quiet"]
    for steps, more in ((1, []), (4, ["--resume"])):
        running = begun([*arguments, *more], tmp_path / "said")
        wait_for(running.process.is_alive, checkpoint, steps)
        assert running.stop(signal.SIGKILL) == (-signal.SIGKILL, "", "")
        assert not output.exists()
    assert command([*arguments, "--resume"]) == (0, "")
    assert command(["compress", net, "-o", tmp_path / "whole.lac", *long])[0] == 0
    assert output.read_bytes() == (tmp_path / "whole.lac").read_bytes()


def refused(capsys, arguments):
    """Run in this process; return the line that refuses."""
    assert run([str(argument) for argument in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    return err


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_ctrl_c_says_how_to_go_on(net, tmp_path, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("said")
    output, checkpoint = tmp_path / "net.lac", tmp_path / "net.lac.checkpoint"
    arguments = ["compress", net, "-o", output, *LC, "--steps", "500", "--epochs", "3", "--tolerance", "0"]
    running = begun(arguments, folder)
    wait_for(running.process.is_alive, checkpoint, 2)
    code, out, err = running.stop(signal.SIGINT)
    assert (code, out) == (130, "")
    assert len(err.splitlines()) == 1
    assert "--resume" in err
    assert str(checkpoint) in err
    assert [path.name for path in tmp_path.iterdir()] == ["net.lac.checkpoint"]
    kept = checkpoint.read_bytes()

    # other options are refused by their names
    others = {
        "--seed": "3", "--steps": "7", "--lr": "0.02", "--lr-decay": "0.9", "--codebook": "4", "--batch": "64",
        "--epochs": "2", "--finetune": "1", "--threads": "2", "--growth": "1.5", "--mu": "0.1", "--method": "idc",
        "--tolerance": "0.1", "--weight-decay": "0.001",
    }  # fmt: skip
    said = refused(capsys, [*arguments, "--resume", *itertools.chain(*others.items())])
    for option, value in others.items():
        assert f"{option} was " in said
        assert f"is {value}" in said
    said = refused(capsys, [*arguments, "--resume", "--quadratic-penalty"])
    assert "--quadratic-penalty was False, is True" in said

    # nor does forgetting --resume cost the work that is done
    said = refused(capsys, arguments)
    assert "--resume" in said
    assert "--force" in said
    assert checkpoint.read_bytes() == kept


@pytest.fixture(scope="module")
def stopped(net, tmp_path_factory):
    """The checkpoint of a run that was killed after its second."""
    folder = tmp_path_factory.mktemp("stopped")
    arguments = ["compress", net, "-o", folder / "net.lac", *LC]
    assert begun(arguments, folder, ("replace", 2, False)).wait()[0] == -signal.SIGKILL
    return (folder / "net.lac.checkpoint").read_bytes()


def test_other_weights_are_refused(stopped, net, tmp_path, capsys):
    arguments = ["-o", tmp_path / "net.lac", *LC]
    (tmp_path / "net.lac.checkpoint").write_bytes(stopped)
    params, metadata = load_checkpoint(net)
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, {**params, "fc3.bias": params["fc3.bias"] + 1}, metadata)
    assert "SHA-256" in refused(capsys, ["compress", other, *arguments, "--resume"])


def test_training_with_other_options_is_refused(command, tmp_path, capsys):
    output = tmp_path / "net.safetensors"
    assert command([*TRAIN, "-o", output], ("replace", 1, False))[0] == -signal.SIGKILL
    kept = output.with_name("net.safetensors.checkpoint").read_bytes()
    for option, value in {"--epochs": "9", "--seed": "1", "--lr": "0.5", "--net": "lenet300-tanh"}.items():
        assert f"{option} was " in refused(capsys, [*TRAIN, "-o", output, option, value, "--resume"])
    assert "--resume" in refused(capsys, [*TRAIN, "-o", output])
    assert output.with_name("net.safetensors.checkpoint").read_bytes() == kept


@pytest.mark.parametrize("damage", ["cut", "flipped", "of training", "text"])
def test_a_damaged_checkpoint_is_refused(stopped, net, tmp_path, capsys, damage):
    arguments = ["compress", net, "-o", tmp_path / "net.lac", *LC]
    checkpoint, data = tmp_path / "net.lac.checkpoint", stopped
    middle = len(data) // 2
    changed = {
        "cut": data[:middle],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "of training": net.read_bytes(),
        "text": b"none of this is a checkpoint",
    }
    checkpoint.write_bytes(changed[damage])
    assert str(checkpoint) in refused(capsys, [*arguments, "--resume"])
    assert checkpoint.read_bytes() == changed[damage]


def test_resuming_without_a_checkpoint_starts_and_says_so(command, net, whole, tmp_path):
    exitcode, said = command(["compress", net, "-o", tmp_path / "net.lac", *LC, "--resume"])
    assert exitcode == 0
    assert "starting at the beginning" in said
    assert (tmp_path / "net.lac").read_bytes() == whole[0]
