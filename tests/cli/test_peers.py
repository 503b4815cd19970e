"""`laconic train --codistill`: launches that share a folder; one that is killed is told of, and the other finishes."""

import shutil
import signal
import time

import forked
import pytest
from safetensors.torch import load_file

from laconic.cli import run

from .commands import TRAIN, parsed

FEW = ["train", "--net", "lenet300", "--data", "digits", "--lr", "0.02", "--threads", "1", "--codistill-every", "10"]


def begun(folder, number, output, *, epochs):
    options = ["--codistill", folder, "--peer", f"{number}/2", "-o", output, "--epochs", epochs, "--json"]
    return forked.Forked.start(forked.COMMAND, [*FEW, *options], output.parent / f"said {number}")


def test_of_two_launches_one_is_killed_and_the_other_finishes_and_says_so(tmp_path):
    shared, outputs = tmp_path / "shared", [tmp_path / f"{number}.safetensors" for number in (0, 1)]
    doomed = begun(shared, 0, outputs[0], epochs=10_000)
    end = time.monotonic() + forked.PATIENCE
    while not (tmp_path / "0.safetensors.checkpoint").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    survivor = begun(shared, 1, outputs[1], epochs=2)
    while not (shared / "peer-1.safetensors").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert doomed.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    code, out, err = survivor.wait()
    assert code == 0, err
    told = parsed(out)
    assert told["seed"] == 1
    (sentence,) = told["peers"]
    assert sentence.startswith("peer 0 has not finished: it wrote last at step ")
    assert sentence.endswith("has stopped or is behind")
    assert not outputs[0].exists()
    own = load_file(outputs[1])
    left = load_file(shared / "peer-1.safetensors")
    assert all((left[name] == tensor).all() for name, tensor in own.items())


def launch(capsys, folder, number, output, *more):
    options = [
        "--codistill",
        folder,
        "--peer",
        f"{number}/2",
        "-o",
        output,
        "--epochs",
        "2",
        "--codistill-burn-in",
        "0",
    ]
    code = run([*map(str, [*FEW, *options, *more])])
    return code, *capsys.readouterr()


def test_a_launch_learns_from_what_is_in_the_folder_and_its_place_is_its_own(tmp_path, capsys):
    weights = {}
    assert launch(capsys, tmp_path / "0", 0, tmp_path / "first.safetensors", "--quiet")[0] == 0
    shutil.copytree(tmp_path / "0", tmp_path / "5")
    for weight in ("0", "5"):
        output = tmp_path / f"{weight}.safetensors"
        code, out, _ = launch(capsys, tmp_path / weight, 1, output, "--codistill-weight", weight, "--json")
        assert code == 0
        assert parsed(out)["peers"] == ["peer 0 has finished, at step 20"]
        weights[weight] = load_file(output)["fc1.weight"]
    assert not weights["0"].equal(weights["5"])
    code, _, err = launch(capsys, tmp_path / "0", 0, tmp_path / "another.safetensors")
    assert code == 1
    assert "peer-0.safetensors is there already: --resume goes on, --force starts anew" in err
    code, _, err = launch(capsys, tmp_path / "0", 0, tmp_path / "another.safetensors", "--net", "mlp256", "--force")
    assert code == 1
    assert err.startswith("error: peer 1: ")
    assert "--net was lenet300, is mlp256" in err
    there = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert there == ["peer-0.safetensors", "peer-1.safetensors"], "who has ended has no claim"
    for peer, claimed, says in (
        ("2/3", False, "peer 0 is one of 2 launches"),
        ("0/2", True, "number runs, or was killed"),
    ):
        (tmp_path / "0" / "peer-0.safetensors").rename(tmp_path / "0" / ("hidden" if claimed else "peer-0.safetensors"))
        if claimed:
            (tmp_path / "0" / "peer-0.claim").write_text("of another")
        code, _, err = launch(capsys, tmp_path / "0", 0, tmp_path / "another.safetensors", "--peer", peer)
        assert code == 1
        assert says in " ".join(err.split())
        assert claimed or sorted(path.name for path in (tmp_path / "0").iterdir()) == there
    assert not (tmp_path / "another.safetensors").exists()


def test_a_killed_launch_goes_on_and_says_what_it_reads(tmp_path, capsys, monkeypatch):
    folder, output = tmp_path / "shared", tmp_path / "0.safetensors"
    assert launch(capsys, folder, 1, tmp_path / "1.safetensors", "--quiet")[0] == 0

    def dies(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("laconic.cli.jobs.train_states.save_checkpoint", once_more(1, dies))
        assert launch(capsys, folder, 0, output)[0] == 130
    code, out, err = launch(capsys, folder, 0, output, "--resume", "--json")
    assert code == 0, err
    assert "resumed: peers are read as they are now: peer 1 has finished, at step 20" in err
    assert parsed(out)["epochs"] == 2


def once_more(times, dies):
    """The function that writes states, which dies after so many."""
    from laconic.models.checkpoints import save_checkpoint

    left = [times]

    def write(*args, **options):
        if not left[0]:
            dies()
        left[0] -= 1
        save_checkpoint(*args, **options)

    return write


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--peer", "0/2"], "--peer: goes with --codistill"),
        (["--codistill", "x"], "--codistill needs --peer"),
        (["--hint-layers", "fc1:fc1"], "--hint-layers: goes with --hint"),
        (["--attention-weight", "3"], "--attention-weight: goes with --attention"),
        (["--teacher-net", "lenet5"], "--teacher-net: goes with --hint or --attention"),
    ],
)
def test_options_without_what_they_go_with_are_refused(tmp_path, capsys, options, said):
    assert run([*TRAIN, "-o", str(tmp_path / "a.safetensors"), *options]) == 1
    assert said in capsys.readouterr().err


def test_a_peer_that_is_none_is_an_error_of_usage(tmp_path, capsys):
    options = ["--codistill", str(tmp_path), "--peer", "2/2"]
    assert run([*TRAIN, "-o", str(tmp_path / "a.safetensors"), *options]) == 2
    assert "'2/2' is no peer: 0/2 and 1/2 are two" in " ".join(capsys.readouterr().err.split())
