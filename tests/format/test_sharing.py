"""Small lossless tensors in one stream: the same weights, fewer bytes, and every account still exact."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from sample_codes import CASES, dense, same_code

from laconic.format import container
from laconic.format.codes import DenseCode, shared
from laconic.format.codes.counting import ideal_bits, published_bits
from laconic.format.codes.sharing import SMALL, unshared
from laconic.format.container.reader import LacFile
from laconic.insight.ledger import ledger


def small():
    tied = dense((7,), seed=9)
    return {
        **{f"bias {k}": dense((5 * k,), seed=k) for k in range(9)},
        **{f"step {k}": dense((), "int64", seed=k) for k in range(3)},
        "alone": dense((4,), "float16"),
        "large": dense((SMALL + 1,)),
        "largest small": dense((SMALL // 64, 64)),
        "tied": tied,
        "tied too": tied,
    }


@pytest.mark.parametrize("codes", [small(), CASES, {}], ids=["small", "cases", "none"])
def test_sharing_keeps_every_bit_and_order(codes):
    made = shared(codes)
    assert list(made) == list(codes)
    back = container.loads(container.dumps(made)).codes
    for name, code in codes.items():
        assert (made[name].shape, made[name].dtype) == (code.shape, code.dtype)
        assert made[name].decompress().tobytes() == code.decompress().tobytes()
        same_code(made[name], back[name])
    assert all(made[name] is code for name, code in shared(made).items())
    assert published_bits(made) == published_bits(codes)
    assert {name: ideal_bits(code) for name, code in made.items()} == {n: ideal_bits(c) for n, c in codes.items()}


def test_who_shares():
    made = shared(small())
    floats = {id(made[name].values) for name in made if name.startswith("bias") and name != "bias 0"}
    assert floats == {id(made["largest small"].values)}
    assert len({id(made[f"step {k}"].values) for k in range(3)}) == 1
    for name in ("alone", "large", "tied", "tied too", "bias 0"):
        assert made[name] is not None
        assert made[name].start == 0
        assert len(made[name].values) == made[name].size
    assert made["tied"].values is made["tied too"].values


def test_each_pays_its_share():
    """Rows sum to the file, and what is shared is split in proportion to the elements."""
    codes = shared({f"b{k}": dense((100 * k,), seed=k) for k in (1, 2, 3)})
    data = container.dumps(codes)
    *rows, header = LacFile(data, "").charges()
    assert sum(row.bytes for row in (*rows, header)) == len(data)
    stored = sum(row.bytes for row in rows)
    assert [abs(row.bytes - stored * k / 6) < 1 for row, k in zip(rows, (1, 2, 3), strict=True)] == [True] * 3
    account = ledger(LacFile(data, ""))
    assert [entry.entropy_bytes for entry in account.entries] == [400, 800, 1200, 0]
    assert [entry.published_bits for entry in account.entries] == [3200, 6400, 9600, 0]


def test_unsharing_undoes_it():
    made = shared(small())
    again = unshared({**made, "twin": replace(made["bias 3"])})
    for name, code in again.items():
        if name != "twin":
            assert code.decompress().tobytes() == made[name].decompress().tobytes()
        assert len(code.values) == code.size
        assert code.start == 0
    assert again["twin"].values is again["bias 3"].values
    assert again["bias 4"].values is not again["bias 3"].values


def test_a_published_network_gets_smaller(data_dir: Path):
    path = data_dir / "models" / "resnet20_cifar10.safetensors"
    if not path.is_file():
        pytest.skip(f"no trained network {path}")
    codes = {name: DenseCode.of(array) for name, array in safetensors.numpy.load_file(path).items()}
    before, after = container.bits(codes) // 8, container.bits(shared(codes)) // 8
    print(f"{before} bytes apart, {after} bytes with small tensors in one stream")
    assert before - after > 600


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool"])
def test_a_file_of_one_tensor_is_no_larger_than_the_tensor_and_a_little(dtype):
    raw = np.random.default_rng(0).integers(0, 256 if dtype != "bool" else 2, 100_000).astype(np.uint8)
    for count in (0, 1, 3, 100, 4000, 100_000):
        array = raw[: count // 4 * 4 or 4 * (count > 0)].view(dtype)
        assert len(container.dumps({"name": DenseCode.of(array)})) <= array.nbytes + 64 + len("name")
