"""`laconic compress --effort calibrate`, killed and gone on with: the bytes of a run that never stopped."""

import json
import signal
import time

import forked
import pytest

from laconic.calibrate import sequence
from laconic.cli import run

from .test_resume import begun, refused

OPTIONS = ["--bits", "2", "--effort", "calibrate", "--samples", "200", "--threads", "1"]


def compressing(net, output, *more):
    return ["compress", str(net), "-o", str(output), "--threads", "1", *OPTIONS, *more]


@pytest.fixture(scope="module")
def whole(net, tmp_path_factory):
    """The file of a run that nothing has interrupted, and its report."""
    folder = tmp_path_factory.mktemp("whole")
    code, out, err = begun(compressing(net, folder / "net.lac", "--json"), folder / "said").wait()
    assert code == 0, err
    return (folder / "net.lac").read_bytes(), json.loads(out)


MOMENTS = {
    "before the first record": (("replace", 2, True), 0),
    "before the second record is in place": (("replace", 3, True), 1),
    "in the second pass": (("replace", 6, False), 5),
    "before the file is in place": (("link", 1, True), None),
    "once the file is in place": (("link", 1, False), None),
}


LIKE_OTHERS = ("before the first record", "in the second pass", "before the file is in place")


@pytest.mark.parametrize(
    ("moment", "weights"),
    [pytest.param(*row, marks=pytest.mark.full if name in LIKE_OTHERS else ()) for name, row in MOMENTS.items()],
    ids=MOMENTS,
)
def test_a_calibration_that_is_killed_resumes_to_the_same_bytes(net, whole, tmp_path, moment, weights):
    output, said = tmp_path / "out" / "net.lac", tmp_path / "said"
    assert begun(compressing(net, output), said, moment).wait()[0] == -signal.SIGKILL
    assert output.exists() == (moment == ("link", 1, False))
    code, out, err = begun(compressing(net, output, "--resume", "--json"), said).wait()
    assert code == 0, err
    weights = 3 * whole[1]["calibration"]["passes"] if weights is None else weights
    assert f"resuming after weight {weights}," in err or not weights
    assert output.read_bytes() == whole[0]
    told, first = json.loads(out), whole[1]
    assert told["calibration"]["distance"] == first["calibration"]["distance"]
    assert [told["bytes"], told["test"]] == [first["bytes"], first["test"]]
    assert not output.with_name("net.lac.checkpoint").exists()


def test_kill_minus_nine_from_outside(net, whole, tmp_path):
    output, said = tmp_path / "out" / "net.lac", tmp_path / "said"
    folder = output.with_name("net.lac.checkpoint")
    running, until = begun(compressing(net, output), said), time.monotonic() + forked.PATIENCE
    while not [*folder.glob("pass-*")]:
        assert running.process.is_alive()
        assert time.monotonic() < until
        time.sleep(0.001)
    assert running.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    code, _, err = begun(compressing(net, output, "--resume"), said).wait()
    assert (code, "resuming after weight" in err) == (0, True)
    assert output.read_bytes() == whole[0]
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize(("weights", "hint"), [(0, "Nothing had been saved yet"), (4, "Go on with the same command")])
def test_ctrl_c_says_how_to_go_on(net, whole, tmp_path, capsys, monkeypatch, weights, hint):
    output, folder = tmp_path / "net.lac", tmp_path / "net.lac.checkpoint"
    solve, solved = sequence.quantized, list[str]()

    def interrupted(network, subject, *given):
        if solved[-1:] != [subject.name]:  # some are solved once more at once
            solved.append(subject.name)
        if len(solved) == weights + 1:
            signal.raise_signal(signal.SIGINT)
        return solve(network, subject, *given)

    with monkeypatch.context() as patch:
        patch.setattr(sequence, "quantized", interrupted)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us to ignore it
        try:
            assert run(compressing(net, output, "--quiet")) == 130
        finally:
            signal.signal(signal.SIGINT, before)
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"interrupted. {hint}")
    if not weights:
        assert list(tmp_path.iterdir()) == []
        return
    assert f"--resume (from {folder})" in err
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(kept) == 1 + weights
    others = {"--bits": "3", "--samples": "201", "--seed": "4", "--quality": "fast", "--lossless": "fc3.*"}
    said = refused(
        capsys, compressing(net, output, "--resume", "-q", *(word for pair in others.items() for word in pair))
    )
    for option in others:
        assert f"{option} was " in said
    assert "of an interrupted run: --resume goes on from there, --force" in refused(capsys, compressing(net, output))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    assert run(compressing(net, output, "--resume", "--quiet")) == 0
    assert output.read_bytes() == whole[0]
    assert list(tmp_path.iterdir()) == [output]


def test_force_starts_anew(net, tmp_path, capsys):
    """Whatever the interrupted run was: with other options, or of the other effort."""
    output, folder = tmp_path / "net.lac", tmp_path / "net.lac.checkpoint"
    fast = compressing(net, output, "--quality", "fast", "--quiet")
    train = ["compress", net, "-o", output, "--codebook", "2", "--effort", "train", "--steps", "1", "--finetune", "0"]
    moment = ("replace", 3, False)
    assert begun(compressing(net, output), tmp_path / "said", moment).wait()[0] == -signal.SIGKILL
    assert "--quality was " in refused(capsys, [*fast, "--resume"])
    assert f"{folder} is a folder" in refused(capsys, [*train, "--resume", "--quiet"])
    assert folder.is_dir()
    assert run([*map(str, train), "--force", "--quiet"]) == 0
    assert not folder.exists()
    folder.write_bytes(b"of training")
    assert f"{folder} is a file, and no journal" in refused(capsys, [*fast, "--force", "--resume"])
    assert folder.read_bytes() == b"of training"
    assert run([*fast, "--force"]) == 0
    assert not folder.exists()
