"""The examples run as they are."""

import re
import runpy
from pathlib import Path

import forked
import pytest
import torch

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def figures(capsys):
    """Runs an example and gives the numbers that it prints, in order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(name):
        with torch.random.fork_rng():
            runpy.run_path(str(EXAMPLES / name))
        return [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?= |$|,)", capsys.readouterr().out)]

    yield run
    torch.set_num_threads(before)


def test_every_example_has_a_test():
    tests = Path(__file__).read_text(encoding="utf-8")
    assert not [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in tests]


def test_lc_in_a_loop_of_ones_own_beats_direct_compression(capsys):
    runpy.run_path(str(EXAMPLES / "own_loop.py"))
    direct, lc = (float(error) for error in re.findall(r"to 2 values (\d+\.\d) %", capsys.readouterr().out))
    assert lc < direct


def test_training_beats_direct_compression_of_a_network_of_ones_own(figures):
    size, direct, trained = figures("own_cnn.py")
    assert trained < direct
    assert size < 1000


def test_tied_embeddings_come_back_tied_and_the_loss_stays_near(figures):
    size, before, after = figures("tied_transformer.py")
    assert before < after < 1.5
    assert size < 3000


def test_what_layers_read_brings_outputs_nearer_than_weights_alone_do(figures):
    before, exact, direct, _, apart, calibrated, _, near = figures("calibrate.py")[:8]
    assert (exact, before < 6) == (0, True)
    assert 17_500 < calibrated <= direct + 100 < 18_000
    assert 0 < 5 * near < apart


def test_a_state_dict_alone_meets_its_size(figures):
    size, change = figures("state_dict.py")
    assert 29_700 <= size <= 30_000
    assert 0 < change < 20


JOINED = """
import runpy, sys
import torch.distributed as dist
dist.init_process_group("gloo", f"file://{sys.argv[1]}/meeting", world_size=2, rank=int(sys.argv[2]))
runpy.run_path(sys.argv[3])
dist.destroy_process_group()
"""


def test_two_processes_train_with_a_seventh_of_the_bytes(tmp_path):
    started = [
        forked.Forked.start(JOINED, [tmp_path, rank, EXAMPLES / "own_ddp.py"], tmp_path / str(rank))
        for rank in range(2)
    ]
    (code, said, err), (other, silent, _) = (one.wait() for one in started)
    assert (code, other, silent) == (0, 0, ""), err
    workers, error, pushed, plain = (float(number) for number in re.findall(r"\d+(?:\.\d+)?", said))
    assert (workers, error < 20) == (2, True)
    assert pushed < plain / 7
