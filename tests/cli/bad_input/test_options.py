"""Options, data and places that do not fit: one clear line, and everything else as it was."""

import errno
from pathlib import Path

import forked
import pytest

from laconic.cli import run
from laconic.format import files
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of

from .folders import DIGITS, contents


def test_data_that_are_not_there(net, refused, folder):
    bare = "bare.safetensors"
    save_checkpoint(Path(bare), params_of(nets.build("lenet300")), {})
    evaluate = ("evaluate", bare, "--net", "lenet300", "--data", "mnist")
    said = refused(*evaluate)
    assert "--data-dir" in said
    assert "LACONIC_DATA" in said
    said = refused(*evaluate, "--data-dir", "nowhere")
    assert str(Path("nowhere", "mnist")) in said
    assert "train-images" in said
    assert "--data-dir" in said
    assert "nowhere" in refused("train", *evaluate[2:], "--data-dir", "nowhere", "-o", "out.safetensors")
    own = refused("train", "--task", "mine:make", "--batch", "32", "-o", "out.safetensors")
    assert "--batch: a --task makes its own batches" in own
    assert "digitz" in refused("train", "--net", "lenet300", "--data", "digitz", "-o", "out.safetensors")


# --- outputs ----------------------------------------------------------------------------------------


def test_existing_files_are_not_overwritten(net, lac, refused, capsys):
    for name in ("old.lac", "old.safetensors"):
        Path(name).write_text("precious")
    train = [*DIGITS, "--epochs", "1"]
    commands = (
        ["compress", net, "-o", "old.lac", "--codebook", "2"],
        ["compress", net, "-o", "old.lac", "--codebook", "2", "--effort", "train"],
        ["decompress", lac, "-o", "old.safetensors"],
        ["train", *train, "-o", "old.safetensors"],
    )
    for command in commands:
        assert "--force" in refused(*command)
    for command in (commands[0], commands[2]):
        assert run([*command, "--force", "--quiet"]) == 0
        Path(command[3]).write_text("precious")


def test_a_folder_is_no_output(net, lac, refused):
    Path("old").mkdir()
    for force in ([], ["--force"]):
        assert "old is a folder" in refused("compress", net, "-o", "old", "--codebook", "2", *force)
        assert "old is a folder" in refused("decompress", lac, "-o", "old", *force)


def test_demo_needs_a_folder_of_its_own(refused):
    Path("file").write_text("precious")
    assert "file is a file" in refused("demo", "-o", "file")
    Path("full").mkdir()
    Path("full", "report.md").write_text("precious")
    assert "--force" in refused("demo", "-o", "full")


def test_places_that_cannot_be_written(net, lac, refused):
    Path("plain").write_text("a file")
    said = refused("compress", net, "-o", "plain/sub/out.lac", "--codebook", "2")
    assert "'plain/sub'" in said
    for command in (["decompress", lac], ["train", *DIGITS, "--epochs", "1"]):
        assert "plain is a file, not a folder" in refused(*command, "-o", "plain/out.safetensors")
    if Path("/proc").is_dir():
        for name in ("/proc/out.lac", "/proc/sub/out.lac"):
            assert "/proc" in refused("compress", net, "-o", name, "--codebook", "2")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk(net, lac, refused, monkeypatch, call):
    Path("old.lac").write_text("precious")
    Path("old.safetensors").write_text("precious")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    train = ["--effort", "train", "--steps", "1", "--finetune", "1"]
    for command in (
        ["compress", net, "-o", "old.lac", "--codebook", "2"],
        ["compress", net, "-o", "old.lac", "--codebook", "2", *train],
        ["decompress", lac, "-o", "old.safetensors"],
        ["train", *DIGITS, "--epochs", "1", "-o", "old.safetensors"],
    ):
        said = refused(*command, "--force")
        assert "No space left on device after" in said
        assert "'old." in said


def test_a_limit_on_file_sizes(net, lac, tmp_path_factory):
    """A process that really cannot write more than a few bytes."""
    Path("old.safetensors").write_text("precious")
    before = contents()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); {forked.COMMAND}"
    arguments = ["decompress", lac, "-o", "old.safetensors", "--force"]
    code, _, err = forked.run(limited, *arguments, folder=tmp_path_factory.mktemp("said"))
    assert code == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "'old.safetensors'" in err
    assert contents() == before
