"""Decompressing a tensor at a time: the bytes of the library's own file, in little memory, by any number of threads."""

import subprocess
import sys
import time

import forked
import numpy as np
import pytest
import safetensors.torch

from laconic.cli import run
from laconic.format import container
from laconic.format.codes import DTYPES, CodebookCode, DenseCode, Symbols, Values, shared
from laconic.format.coding import dtype_of
from laconic.format.files import same_every_time
from laconic.models.params import to_torch


def tensors():
    source = np.random.default_rng(0)
    for dtype in (dtype for dtype in DTYPES if dtype != "complex128"):
        raw = source.integers(0, 2 if dtype == "bool" else 256, 24 * dtype_of(dtype).itemsize).astype(np.uint8)
        yield f'{dtype} ü/"', raw.view(dtype).reshape(2, 3, 4)
        yield f"a {dtype}", raw.view(dtype)[:1].reshape(())
        yield f"{dtype} empty", raw.view(dtype)[:0].reshape(0, 7)
    yield from ((name, np.float32([len(name)])) for name in ("", "Z", "z", "é", "\U0001f600", "\uffff", "b.10", "b.9"))


@pytest.mark.parametrize("threads", [1, 3, 100])
@pytest.mark.parametrize("metadata", [{}, {"b": "1", "a": "ü", "net": "x"}])
def test_the_bytes_are_those_of_the_library(threads, metadata, tmp_path):
    arrays = dict(tensors())
    container.write(tmp_path / "a.lac", shared({n: DenseCode.of(a) for n, a in arrays.items()}), metadata)
    out = tmp_path / "a.safetensors"
    assert run(["decompress", str(tmp_path / "a.lac"), "-o", str(out), "--threads", str(threads), "--quiet"]) == 0
    assert out.read_bytes() == same_every_time(
        safetensors.torch.save({n: to_torch(a) for n, a in arrays.items()}, metadata or None)
    )


def test_a_damaged_file_leaves_no_output(tmp_path):
    container.write(tmp_path / "a.lac", {str(k): DenseCode.of(np.arange(50) + k) for k in range(9)})
    data = bytearray((tmp_path / "a.lac").read_bytes())
    data[200] ^= 1
    (tmp_path / "a.lac").write_bytes(data)
    for threads in ("1", "3"):
        out = tmp_path / "a.safetensors"
        assert run(["decompress", str(tmp_path / "a.lac"), "-o", str(out), "--threads", threads, "--quiet"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.lac"]


MEASURE = """
import resource, sys
from laconic.cli import run
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert run(["decompress", sys.argv[1], "-o", sys.argv[2], "--quiet", "--threads", sys.argv[3]]) == 0
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
@pytest.mark.parametrize("threads", [pytest.param("1", marks=pytest.mark.full), "2"])
def test_no_more_than_a_few_tensors_are_in_memory(threads, tmp_path):
    """64 tensors of 8 MB: together they would take 500 MB."""
    values = Values(np.float32([-1, 1]))
    indices = Symbols(np.random.default_rng(0).random(1 << 21) < 0.01, 2)
    container.write(
        tmp_path / "a.lac", {f"{k}": CodebookCode((1 << 21,), "float32", values, indices) for k in range(64)}
    )
    arguments = [tmp_path / "a.lac", tmp_path / "a.safetensors", threads]
    code, out, err = forked.run(MEASURE, *arguments, folder=tmp_path / "said")
    assert code == 0, err
    assert (tmp_path / "a.safetensors").stat().st_size > 64 << 23
    assert int(out) < (int(threads) << 23) + 300e6


@pytest.mark.slow
def test_a_second_start_takes_little_time(tmp_path):
    weights = np.random.default_rng(0).normal(size=(40, 7000)).astype(np.float32)
    container.write(tmp_path / "a.lac", {str(k): DenseCode.of(row) for k, row in enumerate(weights)})
    command = [sys.executable, "-m", "laconic", "decompress", tmp_path / "a.lac", "-o", tmp_path / "a.safetensors"]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([*command, "--force", "--quiet"], check=True)
        times.append(time.perf_counter() - start)
    print(f"decompress of 1.1 MB: {min(times):.2f} s")
    assert min(times) < 1.5
