"""A calibration that is stopped goes on at the weight that it was at, and ends with the same bytes."""

import errno
import logging
import signal
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from small_nets import net
from trained import learned

import laconic
from laconic.calibrate import sequence
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.journal import Journal, Records, remove
from laconic.calibrate.network import Network, Tick, silent
from laconic.errors import DataError, PlanError
from laconic.format import container, files
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import all_params_of
from laconic.models.ties import untied
from laconic.quantize.budget import Budget


class Killed(BaseException):
    """What ends a run."""


@cache
def readied(name: str) -> Ready:
    """A small network, or one that has learned the digits."""
    if name == "digits":
        task = learned()
        return Ready.of(untied(all_params_of(task.module), task.module), Calibration.of(task, samples=200))
    module, samples = net(name)
    return Ready.of(untied(all_params_of(module), module), Calibration.of(module, samples))


def kept(ready: Ready, folder: Path, job: dict[str, str] | None = None) -> Ready:
    """The network with a journal."""
    calibration = ready.network.calibration
    return ready.resuming(Journal.of(folder, job or {}, ready.network.params, calibration.batches))


def file_of(ready: Ready, budget: Budget, quality: str = "fast", tick: Tick = silent) -> bytes:
    """The bytes of the file."""
    return container.dumps(ready.fitted(budget, quality, {}, tick=tick)[0].codes, {})


@pytest.fixture
def solved(monkeypatch) -> list[str]:
    """The names of the weights that have been solved so far."""
    names, solve = list[str](), sequence.quantized

    def told(network, subject, *rest):
        names.append(subject.name)
        return solve(network, subject, *rest)

    monkeypatch.setattr(sequence, "quantized", told)
    return names


def killing(after: int) -> Tick:
    """A tick that kills a run before it comes to another weight than so many."""
    calls = 0

    def tick(stage: str, done: int, total: int) -> None:
        nonlocal calls
        calls += stage == "weights"  # tuning is done anew
        if calls > after:
            raise Killed

    return tick


@pytest.mark.parametrize(
    ("name", "budget", "quality", "stride"),
    [
        ("mlp", Budget(bits=3), "default", 2),
        pytest.param("conv", Budget(bits=3.3), "fast", 1, marks=pytest.mark.full),
        ("language", Budget(bits=4), "fast", 3),
        pytest.param("tied", Budget(bits=4), "fast", 1, marks=pytest.mark.full),
        ("twice", Budget(bits=5), "fast", 3),
        ("bfloat16", Budget(bits=3), "fast", 4),
        ("digits", Budget(kl=0.005), "fast", 4),
        pytest.param("digits", Budget(drop=1.0), "default", 1, marks=pytest.mark.full),
    ],
    ids=str,
)
def test_a_run_that_is_killed_again_and_again_solves_no_weight_twice(tmp_path, solved, name, budget, quality, stride):
    """It is killed after so many weights more than the time before."""
    ready = readied(name)
    whole = file_of(ready, budget, quality)
    once, found, runs = list(solved), b"", 0
    weights = [new for before, new in pairwise(["", *once]) if new != before]  # some are solved once more at once
    solved.clear()
    while not found:
        try:
            found = file_of(kept(ready, tmp_path / "kept"), budget, quality, killing(runs * stride))
        except Killed:
            runs += 1
    assert found == whole
    assert solved == once
    assert runs == -(-len(weights) // stride) > 1
    assert kept(ready, tmp_path / "kept").network.journal.decided == len(weights)


def test_of_passes_that_are_complete_nothing_is_run(tmp_path, monkeypatch):
    ready = kept(readied("mlp"), tmp_path)
    whole = file_of(ready, Budget(bits=3), "default")
    monkeypatch.setattr(Network, "following", lambda *_, **__: pytest.fail("it is run"))
    assert file_of(ready, Budget(bits=3), "default") == whole


def test_a_pass_that_begins_otherwise_has_records_of_its_own(tmp_path, solved):
    ready = readied("mlp")
    whole = [file_of(ready, Budget(bits=bits)) for bits in (3, 4)]
    once = list(solved)
    solved.clear()
    again = kept(ready, tmp_path)
    assert [file_of(again, Budget(bits=bits)) for bits in (3, 4)] == whole
    assert solved == once
    assert [file_of(again, Budget(bits=bits)) for bits in (4, 3)] == whole[::-1]
    assert solved == once


def damaged(data: bytes, other: bytes) -> list[bytes]:
    """What may be left of a record, the last one a sound one of another weight."""
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return [
        b"",
        data[:-1],
        data[:middle],
        flipped,
        data + b"0",
        b"of somebody else",
        b"\x89LAC\r\n\x1a\n" + data,
        other,
    ]


def test_what_is_damaged_and_what_comes_after_it_is_done_again(tmp_path, solved, caplog):
    caplog.set_level(logging.WARNING, "laconic")
    ready = readied("mlp")
    whole = file_of(kept(ready, tmp_path), Budget(bits=3))
    names = [subject.name for subject in ready.network.subjects]
    record = min(tmp_path.glob("pass-*-00001.*"), key=lambda path: path.stat().st_mtime_ns)
    data, other = (path.read_bytes() for path in (record, record.with_name(record.name.replace("00001", "00000"))))
    for left in damaged(data, other):
        solved.clear()
        caplog.clear()
        record.write_bytes(left)
        assert file_of(kept(ready, tmp_path), Budget(bits=3)) == whole
        assert list(dict.fromkeys(solved)) == names[1:]
        said = f"{record} is damaged: {names[1]} and what comes after it are decided again"
        assert [one.getMessage() for one in caplog.records] == [said]
        assert record.read_bytes() == data


def test_every_byte_of_a_record_counts(tmp_path):
    ready = readied("mlp")
    whole = file_of(kept(ready, tmp_path), Budget(bits=3))
    path = min(tmp_path.glob("pass-*-00002.*"), key=lambda path: path.stat().st_mtime_ns)
    data, names = path.read_bytes(), [subject.name for subject in ready.network.subjects]
    journal = kept(ready, tmp_path).network.journal
    assert whole
    for place in range(0, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        assert len(_read(journal, path, names)) == 2, place


def _read(journal: Journal, path: Path, names: list[str]) -> list[object]:
    """What the records of the pass that a file is of tell."""
    digest = load_checkpoint(path.with_name(path.name.replace("00002", "00000")))[1]["pass"]
    return list(Records(journal, digest).read(names))


JOBS = {
    "other options": (lambda: readied("mlp"), {"--bits": "4"}, "--bits was 3, is 4"),
    "other samples": (
        lambda: Ready.of(
            untied(all_params_of(net("mlp")[0]), net("mlp")[0]), Calibration.of(net("mlp")[0], net("mlp")[1] + 1)
        ),
        {"--bits": "3"}, "the SHA-256 of the samples was",
    ),
    "other weights": (lambda: readied("bfloat16"), {"--bits": "3"}, "the SHA-256 of the weights was"),
}  # fmt: skip


@pytest.mark.parametrize(("other", "job", "said"), JOBS.values(), ids=JOBS)
def test_the_journal_of_another_job_is_refused_by_what_differs(tmp_path, other, job, said):
    with pytest.raises(Killed):
        file_of(kept(readied("mlp"), tmp_path / "kept", {"--bits": "3"}), Budget(bits=3), tick=killing(2))
    before = {path: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    assert len(before) == 3
    with pytest.raises(DataError, match=f"kept belongs to another run: .*{said}.*Repeat that run's options, or remove"):
        kept(other(), tmp_path / "kept", job)
    assert {path: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == before


def test_a_folder_of_somebody_else_is_refused_and_stays(tmp_path):
    (tmp_path / "photos").mkdir()
    mine = tmp_path / "photos" / "mine.png"
    mine.write_bytes(b"a picture")
    with pytest.raises(DataError, match=r"photos is no journal of a calibration: it has mine\.png"):
        Journal.of(tmp_path / "photos", {}, {}, [])
    remove(tmp_path / "photos")
    assert mine.read_bytes() == b"a picture"
    with pytest.raises(DataError, match=r"mine\.png is a file, and no journal"):
        Journal.of(mine, {}, {}, [])
    remove(tmp_path / "nothing")


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    ready, folder = readied("mlp"), tmp_path / "kept"
    whole, sync, calls = file_of(ready, Budget(bits=3)), files.os.fsync, 0

    def full(handle):
        nonlocal calls
        calls += 1
        if calls == 7:  # of the job and of each record file and folder
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(
            OSError, match=r"No space left on device after .* make room, and resume: '.*pass-"
        ) as caught:
            file_of(kept(ready, folder), Budget(bits=3))
    assert caught.value.errno == errno.ENOSPC
    assert kept(ready, folder).network.journal.decided == 2
    assert len(list(folder.iterdir())) == 3
    assert file_of(kept(ready, folder), Budget(bits=3)) == whole


def test_python_goes_on_from_a_folder_and_removes_it(tmp_path, monkeypatch):
    module, samples = net("mlp")
    given = {"bits": 3, "calibration": samples, "quality": "fast"}
    whole = laconic.compress(module, **given)
    solve, calls = sequence.quantized, 0

    def interrupted(*rest):
        nonlocal calls
        calls += 1
        if calls == 3:
            signal.raise_signal(signal.SIGINT)
        return solve(*rest)

    monkeypatch.setattr(sequence, "quantized", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us to ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            laconic.compress(module, **given, resume=tmp_path / "kept")
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(DataError, match=r"belongs to another run: .*metadata was"):
        laconic.compress(module, **given, resume=tmp_path / "kept", metadata={"a": "b"})
    found = laconic.compress(module, **given, resume=str(tmp_path / "kept"))
    assert container.dumps(found.codes, found.metadata) == container.dumps(whole.codes, whole.metadata)
    assert found.calibration.distance == whole.calibration.distance
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_for_calibration_alone(tmp_path):
    with pytest.raises(PlanError, match="resume is a folder for effort 'calibrate', not 'direct'"):
        laconic.compress(torch.nn.Linear(4, 4), bits=9, resume=tmp_path)
