"""What a file may cost: bytes and multiply-adds, of each tensor and of all together, are bounded before any is decoded.

Times are not measured here: `make fuzz` does that.
"""

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from crossing import usually

import laconic
from laconic.cli.console import Output
from laconic.cli.jobs import decompress
from laconic.errors import FormatError
from laconic.format import container
from laconic.format.codes import (
    VIEWS,
    CanonicalCode,
    CodebookCode,
    DenseCode,
    DrawnCode,
    GridCode,
    GroupedCode,
    HashedCode,
    LowRankCode,
    PackedCode,
    SparseCode,
    SumCode,
    Symbols,
    TileSparseCode,
    TuckerCode,
    Values,
)
from laconic.format.codes.grid import Grid
from laconic.format.codes.words import Words
from laconic.format.coding.model import Model, Table
from laconic.format.container import LacFile, dumps, loads, reader
from laconic.format.container.effort import multiply_adds
from laconic.format.container.records import build_code
from laconic.insight.bound import of_weights
from laconic.insight.ledger import ledger


def peak(function):
    """Bytes that a call allocates at most, what it makes at its first time left out."""
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bombs(number, size=1 << 20):
    """Codes of a constant each, all of one codebook and one stream: a file of some hundred bytes."""
    book, indices = Values(np.float32([1])), Symbols(np.zeros(size, np.uint8), 1)
    return {f"w{k}": CodebookCode((size,), "float32", book, indices) for k in range(number)}


WAYS = {
    "loads": lambda path, limit: loads(path.read_bytes(), limit),
    "codes": lambda path, limit: container.open(path, limit).codes(),
    "load": lambda path, limit: laconic.load(path, limit=limit),
    "inspect": lambda path, limit: ledger(container.open(path, limit)),
    "bound": lambda path, limit: of_weights({"w0": np.eye(2)}).point(container.open(path, limit), "x"),
    "decompress": lambda path, limit: decompress.decompress(
        Output(json=False, quiet=True),
        path,
        path.with_suffix(".safetensors"),
        threads=1,
        limit=limit,
        force=False,
        shard=None,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_tensors_together_stay_below_the_limit(way, tmp_path, monkeypatch):
    """As 24 codebooks of 2²⁴ weights, of 505 bytes of file, did not: 1.5 GiB under a limit of 100 MB."""
    path, claimed = tmp_path / "bomb.lac", 24 * (4 << 20) + (1 << 20) + 4
    container.write(path, bombs(24))
    assert path.stat().st_size < 600
    built = []
    with monkeypatch.context() as patched:
        patched.setattr(reader, "build_code", lambda *parts: built.append(parts) or build_code(*parts))
        with pytest.raises(FormatError, match=rf"its 24 tensors claim {claimed:,} bytes decoded.* limit= .* --limit"):
            WAYS[way](path, claimed - 1)
    assert len(built) <= 1, "nothing is decoded, but the first tensor, which beartype reads of every mapping"
    assert list(tmp_path.iterdir()) == [path]
    if way != "bound":  # which then finds other weights
        WAYS[way](path, claimed + 8)  # and the codebook, rounded


def test_one_tensor_of_many_is_read_whatever_the_others_claim(tmp_path):
    container.write(tmp_path / "bomb.lac", bombs(24))
    with container.open(tmp_path / "bomb.lac", limit=6 << 20) as file:
        assert file["w7"].all()
        assert file.code("w3").size == 1 << 20


def test_a_stream_that_is_decoded_again_and_again_is_counted_so(monkeypatch):
    """Tensors of one element, each with a part in a stream of which no one sees the rest."""
    values = Values(np.zeros(1 << 20, np.float32))
    data = dumps({f"w{k}": DenseCode((1,), "float32", values, k) for k in range(100)})
    file = LacFile(data, "x", limit=5 << 20)
    assert file["w1"] is not None
    file.require_room("tensors")
    monkeypatch.setattr("laconic.format.container.room.KEPT", (4 << 20) - 1)
    file = LacFile(data, "x", limit=5 << 20)
    with pytest.raises(FormatError, match="its 100 tensors claim 419,430,800 bytes decoded"):
        file.require_room("tensors")
    assert len(file.codes()) == 100  # they hold it, and it is decoded once


def test_tensors_that_the_memory_does_not_hold_at_once_are_decompressed_one_by_one(monkeypatch, tmp_path):
    monkeypatch.setattr("laconic.format.container.room.memory_bytes", lambda: 10 << 20)
    container.write(tmp_path / "w.lac", bombs(4))
    with container.open(tmp_path / "w.lac") as file:
        with pytest.raises(FormatError, match=r"its 4 tensors take 17,825,804 bytes of memory, .* limit of 10,485,760"):
            file.require_room("tensors")
        file.require_room("nothing")
        file.require_room("codes")


def test_an_account_holds_one_tensor_at_a_time(tmp_path):
    codes = {f"w{k}": CodebookCode((1 << 20,), "float32", *constant(k)) for k in range(16)}
    container.write(tmp_path / "w.lac", codes)
    with container.open(tmp_path / "w.lac") as file:
        assert peak(lambda: ledger(file)) < 7 << 20  # beartype reads a tensor of its own


def constant(k):
    return Values(np.float32([k])), Symbols(np.zeros(1 << 20, np.uint8), 1)


def factors(m, n, rank, dtype="float32"):
    """A product of factors that are one number each."""
    book = Values(np.float32([1]))
    left, right = (
        CodebookCode(shape, "float32", book, Symbols(np.zeros(shape[0] * shape[1], np.uint8), 1))
        for shape in [(m, rank), (rank, n)]
    )
    return LowRankCode((m, n), dtype, VIEWS[0], left, right)


def work_of(code):
    return multiply_adds(LacFile(dumps({"w": code}), "x")._table.tensors["w"])


def test_a_product_that_takes_too_long_is_refused_before_it_is_begun(monkeypatch):
    """As a file of 117 bytes did not that took a minute: 2048³ multiply-adds of two constant matrices."""
    data, work = dumps({"w": factors(2048, 2048, 2048)}), 2048**3
    assert len(data) < 170
    assert work_of(factors(2048, 2048, 2048)) == work
    monkeypatch.setattr(reader, "decode_stream", None)
    with pytest.raises(FormatError, match=rf"x: tensor 'w': takes {work:,} multiply-adds .* above 64 a byte"):
        LacFile(data, "x", limit=work // 64 - 1)["w"]


def test_multiply_adds_are_those_of_the_formulas():
    rank_2 = factors(4, 5, 2)
    assert work_of(rank_2) == 4 * 5 * 2
    assert work_of(factors(4, 5, 2, "float8_e5m2")) == 4 * 5 * (2 + 64)
    assert work_of(SumCode((4, 5), "float32", (rank_2, factors(4, 5, 3)))) == 4 * 5 * 5
    nested = LowRankCode((4, 5), "float32", VIEWS[0], factors(4, 4, 1), factors(4, 5, 1))
    assert work_of(nested) == 4 * 5 * 4 + 4 * 4 + 4 * 5
    core = DenseCode.of(np.ones((2, 3, 7), np.float32))
    left, right = (DenseCode.of(np.ones(shape, np.float32)) for shape in [(5, 2), (3, 6)])
    assert work_of(TuckerCode((5, 6, 7), "float32", left, core, right)) == (2 * 3 * 7 * 6) + (5 * 6 * 7 * 2)
    terms = DenseCode.of(np.ones((9, 2), np.float32))
    assert work_of(CanonicalCode((2, 3, 4), "float32", terms)) == 2 * (2 * 3 * 4 + 32 * 2 * 2 * 3)
    assert work_of(terms) == 0
    assert work_of(level_zero((2, 3, 4, 5), "float32", "cosine")) == 2 * 3 * 4 * 5 * 32 * (4 + 5)
    assert work_of(level_zero((2, 3, 4, 5), "float32", "turned")) == 2 * 3 * 4 * 5 * 32
    assert work_of(HashedCode((6, 5), "float32", 1, one((4,), "float32"))) == 30 * 128
    assert work_of(DrawnCode((6,), "float32", 1, 6, constant(1)[0], Symbols(np.zeros(1), 1))) == 6 * 1024
    packed = PackedCode((3, 2), "int32", Words(3, 3, 0), Symbols(np.zeros(64), 8))
    assert work_of(packed) == 3 * 2 * 32 * 32 // 3
    assert work_of(level_zero((6,), "float32", "turned")) == work_of(level_zero((2, 3), "float32")) == 0


def test_the_work_of_all_tensors_is_counted_together():
    data = dumps({"a": factors(1000, 1000, 1000), "b": factors(1000, 1000, 1000)})
    limit = 2 * 1000**3 // 64
    LacFile(data, "x", limit).require_room()
    with pytest.raises(FormatError, match=r"its 2 tensors together take 2,000,000,000 multiply-adds to decode"):
        LacFile(data, "x", limit - 1).require_room()


def level_zero(shape, dtype, transform="none"):
    """A grid of nothing but zeros, which cost no bit each."""
    shared = Grid.of(1.0, Model(0, False, np.int8([]), ((Table((0,)),),)), np.zeros(1, np.int64))
    return GridCode.of(shape, dtype, np.zeros(int(np.prod(shape)), np.int64), shared, transform=transform)


N, FLOAT8 = 1 << 20, "float8_e4m3fn"


def one(shape, dtype=FLOAT8):
    size = int(np.prod(shape))
    return CodebookCode(shape, dtype, Values(np.ones(1, dtype)), Symbols(np.zeros(size, np.uint8), 1))


LARGE = {
    "codebook": one((8 * N,)),
    "sparse": SparseCode((8 * N,), FLOAT8, Symbols(np.ones(8 * N), 2), one((8 * N,))),
    "row": LowRankCode((1, 8 * N), FLOAT8, VIEWS[0], one((1, 1)), one((1, 8 * N))),
    "column": LowRankCode((8 * N, 1), FLOAT8, VIEWS[0], one((8 * N, 1)), one((1, 1))),
    "kernels": LowRankCode((1024, 2048, 2, 2), FLOAT8, VIEWS[1], one((2048, 2)), one((2, 4096))),
    "tucker": TuckerCode((256, 256, 128), FLOAT8, one((256, 4)), one((4, 256, 128)), one((256, 256))),
    "long tucker": TuckerCode((1, 1, 8 * N), FLOAT8, one((1, 1)), one((1, 1, 8 * N)), one((1, 1))),
    "canonical": CanonicalCode((8 * N, 1), FLOAT8, one((8 * N + 1, 1))),
    "axes": CanonicalCode((2,) * 20, FLOAT8, one((40, 1))),
    "grid": level_zero((2 * N,), FLOAT8),
    "kernels of a grid": level_zero((1024, 128, 16), FLOAT8, "cosine"),
    "tiles": TileSparseCode((8 * N,), FLOAT8, 1, 1, Symbols(np.ones(8 * N), 2), one((8 * N,))),
    "sum": SumCode((8 * N,), FLOAT8, (one((8 * N,)), one((8 * N,)))),
    "grouped": GroupedCode(
        (2 * N,), FLOAT8, 1, True, Values(np.ones(2 * N, FLOAT8)), Values(np.ones(2 * N, FLOAT8)),
        Symbols(np.zeros(2 * N), 1),
    ),
    "hashed": HashedCode((8 * N,), FLOAT8, 1, one((N,))),
    "drawn": DrawnCode((2 * N,), FLOAT8, 1, 2 * N, Values(np.ones(1, np.float32)), Symbols(np.zeros(1), 1)),
    "packed": PackedCode((4 * N, 1), "int16", Words(4, 1, 0, turned=True), Symbols(np.zeros(16 * N), 16)),
    "turned grid": replace(level_zero((2048, 1024), FLOAT8, "turned"), step=Values(np.full(1024, 0.5))),
}  # fmt: skip


@usually("name", list(LARGE)[::2], else_=list(LARGE)[1::2])
def test_no_more_memory_is_used_than_is_claimed(name):
    data = dumps({"w": LARGE[name]})
    with pytest.raises(FormatError) as refused:
        LacFile(data, "x", limit=0)["w"]
    claim = int(re.search(r"claims ([\d,]+) bytes", str(refused.value))[1].replace(",", ""))
    file = LacFile(data, "x", limit=max(claim, work_of(LARGE[name])))
    assert peak(lambda: file.code("w").decompress()) < claim + (44 << 20 if name in ("sum", "grouped") else 7 << 20)
