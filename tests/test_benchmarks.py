"""What laconic is compared with does its work: rivals round-trip, targets and transforms are what they say."""

import json
import shutil
from itertools import product
from math import lgamma, log
from pathlib import Path

import bound
import csteps_plain as plain
import lossless
import numpy as np
import pytest
import record
import targets
import torch
import transforms
import twin

from laconic.models.checkpoints import save_checkpoint

RNG = np.random.default_rng(0)
INPUTS = {
    "none": b"",
    "one": b"a",
    "one byte again and again": b"a" * 5000,
    "the next code at once": b"abababababababababab",
    "runs of two": b"aabbccddeeff",
    "runs and others": b"abc" + b"d" * 129 + b"ef" + b"g" * 3 + b"h" * 128,
    "noise that fills the dictionary twice": RNG.integers(0, 256, 200_000, dtype=np.uint8).tobytes(),
    "what weights look like": RNG.geometric(0.4, 400_000).astype(np.uint8).tobytes(),
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_small_coders_round_trip(name):
    data = INPUTS[name]
    assert lossless.run_length_inverse(lossless.run_length(data)) == data
    assert lossless.lzw_inverse(lossless.lzw(data), len(data)) == data


def test_the_small_coders_compress_what_they_can():
    assert len(lossless.run_length(b"a" * 1280)) == 20
    assert len(lossless.run_length(INPUTS["noise that fills the dictionary twice"])) < 200_000 * 1.02
    assert len(lossless.lzw(b"a" * 5000)) < 150
    entropy = -(0.4 * np.log2(0.4) + 0.6 * np.log2(0.6)) / 0.4  # bits a symbol of the geometric source
    assert entropy < 8 * len(lossless.lzw(INPUTS["what weights look like"])) / 400_000 < entropy * 1.25


def test_fixed_rate_against_its_slow_twin():
    tensor = RNG.standard_normal((3, 2, 5)).astype(np.float32)
    for bits in (1, 2, 4):
        total = 0.0
        for row in tensor.reshape(3, -1).astype(np.float64):
            found = []
            for clip in np.linspace(0.15, 1, 40):
                step = float(np.float16(2 * np.abs(row).max() * clip / 2**bits))
                levels = (np.arange(2**bits) - (2**bits - 1) / 2) * step
                found.append(float(np.square(row[:, None] - levels).min(axis=1).sum()))
            total += min(found)
        assert targets.fixed_rate({"w": tensor}, bits, 0.15) == pytest.approx((total, bits + 16 / 10))


def test_a_row_of_zeros_costs_nothing():
    assert targets.fixed_rate({"w": np.zeros((2, 3), np.float32)}, 2, 0.15)[0] == 0


def test_the_grid_meets_its_error():
    tensors = {"a": RNG.standard_normal((40, 50)).astype(np.float32), "b": RNG.laplace(size=(9, 9)).astype(np.float32)}
    step, integers = targets.uniform_grid(tensors, 30.0)
    assert targets.squared_error(tensors, {name: q * step for name, q in integers.items()}) == pytest.approx(
        30, rel=1e-6
    )


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("line", [transforms.dct, transforms.haar])
def test_transforms_are_orthonormal(line, n):
    assert line(n) @ line(n).T == pytest.approx(np.eye(n), abs=1e-12)


def test_haar_of_four_is_the_one_of_the_books():
    half, root = 0.5, 0.5**0.5
    rows = [[half] * 4, [half, half, -half, -half], [root, -root, 0, 0], [0, 0, root, -root]]
    assert transforms.haar(4) == pytest.approx(np.array(rows))


def test_blocks_and_learned_transforms():
    matrix = np.arange(64, dtype=np.float32).reshape(8, 8)
    assert transforms.blocks_of(matrix, 4)[1].tolist() == matrix[:4, 4:].ravel().tolist()
    blocks = {"a": RNG.standard_normal((500, 2)) @ np.array([[1, 0.9], [0, 0.1]]), "b": RNG.standard_normal((500, 2))}
    for basis in (transforms.klt(blocks), transforms.shared_klt(blocks)):
        assert basis["a"] @ basis["a"].T == pytest.approx(np.eye(2), abs=1e-12)
    turned = blocks["a"] @ transforms.klt(blocks)["a"].T
    assert (turned.T @ turned)[0, 1] == pytest.approx(0, abs=1e-9)


def test_the_adaptive_code_against_its_formula():
    integers = RNG.geometric(0.5, 300) - 4
    counts = np.bincount(integers - integers.min())
    k, n = len(counts), len(integers)
    nats = lgamma(n + k / 2) - lgamma(k / 2) - sum(lgamma(c + 0.5) - lgamma(0.5) for c in counts)
    assert transforms.adaptive_bits(integers) == pytest.approx(nats / log(2))


def test_the_twin_decodes_what_it_encodes(tmp_path: Path):
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile the twin with")
    symbols, frequencies = twin.source(0, 8000)
    for moves in (False, True)[: 1 + twin.MOVES]:
        library = twin.compiled(tmp_path, moves)
        for trellis in (False, True):
            stream = twin.stream(library, symbols, frequencies, trellis)
            out = twin.decoder(library, stream, trellis)(np.empty(8000, np.float32))
            assert np.array_equal(out, stream.expected)
            assert 2.9 < stream.bits < 3.15
        assert len(np.unique(stream.expected)) > 16


def test_the_file_nearest_to_a_rate(tmp_path):
    """Of a network of which each kept weight costs 32 bits and more."""
    save_checkpoint(tmp_path / "w.safetensors", {"w": torch.from_numpy(RNG.standard_normal((60, 50)))}, {})
    files = bound.Files(tmp_path / "w.safetensors", tmp_path)
    assert (files.elements, files.names) == (3000, ["w"])
    path = files.nearest("pruned", 9.0, lambda keep: ("--keep", keep), 0.0, 1.0)
    assert 8 * path.stat().st_size / 3000 == pytest.approx(9.0, abs=0.05)
    path = files.nearest("low rank", 9.0, lambda rank: ("--rank", rank), 0, 50, whole=True)
    sizes = [files.write("other", "--rank", rank)[1] for rank in (3, 4, 5, 6)]
    assert 8 * path.stat().st_size / 3000 == min(sizes, key=lambda bits: abs(bits - 9.0))


def test_plain_c_steps_against_every_candidate():
    w = RNG.standard_normal(9)
    errors = {
        plain.scaled_ternary: [np.array(c) for c in product((-1, 0, 1), repeat=9) if any(c)],
        plain.scaled_binary: [np.array(c) for c in product((-1, 1), repeat=9)],
    }
    for step, candidates in errors.items():
        least = min(float(np.square(w - c * max(0, w @ c) / (c @ c)).sum()) for c in candidates)
        assert float(np.square(w - step(w)).sum()) == pytest.approx(least)
    halves = [np.array(c, bool) for c in product((0, 1), repeat=9) if 0 < sum(c) < 9]
    least = min(float(np.square(w - np.where(c, w[c].mean(), w[~c].mean())).sum()) for c in halves)
    assert float(np.square(w - plain.two_values(w)).sum()) == pytest.approx(least)


def test_plain_c_steps_meet_their_constraints():
    w = RNG.standard_normal(1000)
    ball = plain.l1_ball(w, 100.0)
    assert np.abs(ball).sum() == pytest.approx(100)
    assert np.ptp(np.abs(w - ball)[ball != 0]) == pytest.approx(0, abs=1e-12)
    assert (np.abs(w[ball == 0]) <= np.abs(w - ball).max()).all()
    assert np.array_equal(np.flatnonzero(plain.keep_largest(w, 3)), np.sort(np.argsort(np.abs(w))[-3:]))
    w[:2] = 50, -50
    assert np.array_equal(plain.corrected(w, 2)[:2], w[:2])


def test_a_record_has_a_page_beside_it_and_no_path_of_the_machine(tmp_path):
    words = [str(tmp_path / "benchmarks" / "gap.py"), "--data-dir", str(tmp_path / "data"), "-o", "recipes/gap.json"]
    command = record.command(words)
    assert command == "python benchmarks/gap.py --data-dir data -o recipes/gap.json"
    record.save(tmp_path / "gap.json", {"command": command, "rows": [{"rate": 1.5}]})
    assert json.loads((tmp_path / "gap.json").read_text())["rows"] == [{"rate": 1.5}]
    page = (tmp_path / "gap.html").read_text()
    assert command in page
    assert "1.500" in page
