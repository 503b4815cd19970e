"""The `.lac` file: round trips, exact sizes, laziness, and files that are damaged or hostile."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laconic import container
from laconic.codes import (
    DTYPES,
    VIEWS,
    CodebookCode,
    DenseCode,
    GridCode,
    LowRankCode,
    SparseCode,
    Symbols,
    Values,
)
from laconic.codes.counting import ideal_bits, published_bits
from laconic.codes.describe import describe
from laconic.coding import FLOATS
from laconic.container.header import HEADER_BYTES, VERSION
from laconic.container.reader import LacFile
from laconic.container.records import encode_blocks
from laconic.container.rows import apportion
from laconic.container.table import BLOCK, MAX_DEPTH
from laconic.errors import FormatError, OutputExists, WeightsError

relaxed = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


# --- codes to try ----------------------------------------------------------------------------------


def dense(shape, dtype="float32", seed=0):
    if dtype in FLOATS:
        return DenseCode.of(np.random.default_rng(seed).normal(size=shape).astype(dtype))
    return DenseCode.of(np.random.default_rng(seed).integers(0, 2, shape).astype(dtype))


def codebook(shape, entries=4, dtype="float32", seed=0, shared=None):
    rng = np.random.default_rng(seed)
    values = shared or Values(rng.normal(size=entries).astype("float32"))
    count = int(np.prod(shape))
    return CodebookCode(shape, dtype, values, Symbols(rng.integers(0, len(values), count), len(values)))


def sparse(shape, inner=dense, seed=0, keep=0.3):
    mask = np.random.default_rng(seed).random(int(np.prod(shape))) < keep
    return SparseCode(shape, "float32", Symbols(mask, 2), inner((int(mask.sum()),), seed=seed))


def low_rank(shape, rank=2, view=VIEWS[0], left=dense, right=dense, seed=0):
    rows, columns = shape[0], int(np.prod(shape[1:]))
    if view == VIEWS[1]:
        rows, columns = shape[0] * shape[2], shape[1] * shape[3]
    return LowRankCode(shape, "float32", view, left((rows, rank), seed=seed), right((rank, columns), seed=seed + 1))


def grid(shape, dtype="float32", spread=3.0, reach=4):
    levels = np.random.default_rng(1).normal(0, spread, int(np.prod(shape))).astype(np.int64)
    return GridCode.of(shape, dtype, Values(np.float64([0.01])), Values(np.int8([-9, 3])), levels, reach)


def cases():
    shared = Values(np.float32([-1, 0, 1]))
    yield from ((f"dense {dtype}", dense((3, 5), dtype)) for dtype in DTYPES)
    yield "0-d", dense(())
    yield "empty", dense((0, 4), "float64")
    yield "empty codebook", CodebookCode((0,), "float32", Values(np.float32([])), Symbols(np.zeros(0), 0))
    yield "NaN", DenseCode.of(np.uint32([0x7FC00001, 0xFFC12345, 0x7F800000, 0x80000000]).view(np.float32))
    yield "one entry", codebook((7,), 1)
    yield "half", codebook((9, 9), 17, "float16")
    yield "wide", codebook((4000,), 700)
    yield "very wide", codebook((300,), 70000)
    yield "shared a", codebook((20, 30), shared=shared)
    yield "shared b", codebook((5,), seed=1, shared=shared)
    yield "pruned", sparse((30, 40))
    yield "nothing kept", sparse((30,), keep=0)
    yield "all kept", sparse((30,), keep=1)
    yield "pruned and quantized", sparse((10, 10, 3, 3), codebook)
    yield "grid", grid((30, 40))
    yield "grid of escapes", grid((50,), reach=0)
    yield "grid of far escapes", grid((60,), "bfloat16", spread=1e15)
    yield "empty grid", grid((0, 2))
    yield "pruned grid", sparse((30,), lambda shape, seed: grid(shape))
    yield "thin", low_rank((8, 6))
    yield "rank 0", low_rank((8, 6), 0)
    yield "kernel", low_rank((8, 6, 3, 3), 4, VIEWS[1], codebook, sparse)
    yield "", low_rank((4, 5), 2, left=lambda s, seed: low_rank(s, 1), right=lambda s, seed: sparse(s, codebook))


CASES = dict(cases())


def same_code(code, other):
    assert type(code) is type(other)
    if isinstance(code, Values | Symbols):
        assert code.array.dtype == other.array.dtype
        assert code.array.tobytes() == other.array.tobytes()
        return
    assert (code.shape, code.dtype, code.facts()) == (other.shape, other.dtype, other.facts())
    for a, b in zip(code.streams().values(), other.streams().values(), strict=True):
        same_code(a, b)
    assert code.decompress().tobytes() == other.decompress().tobytes()


# --- round trips and sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_each_code_comes_back(name):
    data = container.dumps({name: CASES[name]}, {"note": "π", "a": ""})
    back = container.loads(data)
    assert list(back.codes) == [name]
    same_code(CASES[name], back.codes[name])
    assert back.metadata == {"a": "", "note": "π"}
    assert container.dumps(back.codes, back.metadata) == data


def test_all_codes_in_one_file(tmp_path):
    path = tmp_path / "all.lac"
    container.write(path, CASES.items(), {"net": "x"})
    assert path.read_bytes() == container.dumps(CASES, {"net": "x"})
    assert container.bits(CASES, {"net": "x"}) == 8 * path.stat().st_size
    with container.open(path) as file:
        assert list(file) == list(CASES)
        assert file.metadata == {"net": "x"}
        assert len(file) == len(CASES)
        assert "thin" in file
        assert "nowhere" not in file
        for name, code in file.codes().items():
            same_code(CASES[name], code)
        with pytest.raises(KeyError):
            file["nowhere"]
        for row in file.rows()[:-1]:
            assert row.code == describe(CASES[row.name])
            assert (row.shape, row.dtype) == (CASES[row.name].shape, CASES[row.name].dtype)
        assert sum(row.bytes for row in file.rows()) == path.stat().st_size
        assert file.rows()[-1].name == container.HEADER_ROW


def leaf(shape):
    kinds = [st.builds(dense, st.just(shape), st.just("float32"), st.integers(0, 9))]
    kinds.append(st.builds(codebook, st.just(shape), st.sampled_from([1, 2, 5, 300]), seed=st.integers(0, 9)))
    return st.one_of(kinds)


def tree(shape, depth):
    options = [leaf(shape)]
    if depth:
        kept = st.integers(0, 9).map(lambda seed: np.random.default_rng(seed).random(int(np.prod(shape))) < 0.4)
        options.append(
            kept.flatmap(
                lambda mask: tree((int(mask.sum()),), depth - 1).map(
                    lambda inner: SparseCode(shape, "float32", Symbols(mask, 2), inner)
                )
            )
        )
        if len(shape) == 2:
            rank = st.integers(0, 3)
            options.append(
                rank.flatmap(
                    lambda r: st.tuples(tree((shape[0], r), depth - 1), tree((r, shape[1]), depth - 1)).map(
                        lambda pair: LowRankCode(shape, "float32", VIEWS[0], *pair)
                    )
                )
            )
    return st.one_of(options)


shapes = st.sampled_from([(), (1,), (0, 3), (7,), (6, 5), (40, 3), (2, 3, 2, 2)])


@relaxed
@given(
    st.lists(shapes.flatmap(lambda shape: tree(shape, 3)), max_size=5),
    st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_any_nest_of_codes_comes_back(codes, metadata):
    try:
        "".join([*metadata, *metadata.values()]).encode()
    except UnicodeEncodeError:
        metadata = {}
    named = {f"layer{k}.weight": code for k, code in enumerate(codes)}
    data = container.dumps(named, metadata)
    back = container.loads(data)
    assert back.metadata == metadata
    for name, code in named.items():
        same_code(code, back.codes[name])
    assert container.bits(named, metadata) == 8 * len(data)
    assert container.dumps(back.codes, back.metadata) == data
    assert sum(row.bytes for row in LacFile(data, "").rows()) == len(data)


def test_what_is_shared_is_stored_once_and_comes_back_as_one_object():
    book = Values(np.random.default_rng(0).normal(size=64))
    pair = {"a": codebook((30, 20), shared=book), "b": codebook((10, 20), seed=1, shared=book)}
    apart = {"a": pair["a"], "b": replace(pair["b"], codebook=Values(book.array.copy()))}
    stored = len(encode_blocks(book)[0])
    assert container.bits(apart) - container.bits(pair) > 8 * stored
    file = LacFile(container.dumps(pair), "")
    a, b = file.code("a"), file.code("b")
    assert a.codebook is b.codebook
    with_book = file.rows()
    assert sum(row.bytes for row in with_book) == container.bits(pair) // 8
    own = {name: len(encode_blocks(code.indices)[0]) for name, code in pair.items()}
    assert [with_book[k].bytes - own[name] for k, name in enumerate("ab")] == apportion(stored, [600, 200])


def test_tied_tensors_cost_a_record():
    code = dense((100, 10))
    assert container.bits({"a": code, "b": code}) - container.bits({"a": code}) < 8 * 20


def test_streams_longer_than_a_block():
    count = 2 * BLOCK + 5
    indices = np.zeros(count, np.uint8)
    indices[BLOCK - 1 : BLOCK + 2] = 1
    code = CodebookCode((count,), "float16", Values(np.float16([0, 1])), Symbols(indices, 2))
    data = container.dumps({"w": code})
    assert len(data) < 5000
    same_code(code, container.loads(data).codes["w"])


def test_writing_lets_go_of_each_tensor(tmp_path):
    """A generator's codes may reuse addresses: identity must not be taken from dead objects."""
    container.write(tmp_path / "x.lac", ((str(k), dense((5,), seed=k)) for k in range(200)))
    with container.open(tmp_path / "x.lac") as file:
        for k in range(200):
            assert np.array_equal(file[str(k)], dense((5,), seed=k).decompress())


def test_same_codes_same_bytes_whatever_the_order_of_metadata():
    assert container.dumps(CASES, {"a": "1", "b": "2"}) == container.dumps(CASES, {"b": "2", "a": "1"})


@given(st.integers(0, 10**6), st.lists(st.integers(0, 1000), min_size=1, max_size=9))
def test_apportion_sums_and_is_fair(total, weights):
    shares = apportion(total, weights)
    assert sum(shares) == total
    whole = sum(weights) or len(weights)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * (weight if sum(weights) else 1) / whole) < 1


# --- writing -------------------------------------------------------------------------------------------


def test_an_existing_file_needs_force(tmp_path):
    path = tmp_path / "x.lac"
    container.write(path, {"a": dense((2,))})
    before = path.read_bytes()
    with pytest.raises(OutputExists):
        container.write(path, {"b": dense((3,))})
    assert path.read_bytes() == before
    container.write(str(path), {"b": dense((3,))}, force=True)
    with container.open(str(path)) as file:
        assert list(file) == ["b"]


def test_a_failing_iterator_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.lac"
    container.write(path, {"a": dense((2,))})
    before = path.read_bytes()

    def codes():
        yield "b", dense((300,))
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        container.write(path, codes(), force=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.lac"]


def test_what_cannot_be_written_is_refused():
    with pytest.raises(WeightsError, match="two tensors"):
        container.dumps([("a", dense(())), ("a", dense(()))])
    with pytest.raises(WeightsError, match="UTF-8"):
        container.dumps({"\ud800": dense(())})
    with pytest.raises(WeightsError, match="UTF-8"):
        container.dumps({}, {"a": "\ud800"})
    code = dense((1,))
    for _ in range(MAX_DEPTH - 1):
        code = SparseCode((1,), "float32", Symbols(np.ones(1), 2), code)
    same_code(code, container.loads(container.dumps({"a": code})).codes["a"])
    with pytest.raises(WeightsError, match="nest"):
        container.dumps({"a": SparseCode((1,), "float32", Symbols(np.ones(1), 2), code)})
    with pytest.raises(FormatError, match="axes"):
        container.dumps({"a": dense((1,) * 33)})


@pytest.mark.parametrize("symbols", [[-1], [2], [256], [0.0, 300.0]])
def test_symbols_outside_their_alphabet_are_refused(symbols):
    with pytest.raises(FormatError, match="alphabet of 2"):
        Symbols(np.array(symbols), 2)


# --- laziness ------------------------------------------------------------------------------------------


def test_reading_one_tensor_touches_only_its_blocks(tmp_path):
    path = tmp_path / "x.lac"
    container.write(path, {"first": dense((50,)), "second": dense((60,), seed=1)})
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 230] ^= 1  # within the block of the second
    path.write_bytes(data)
    with container.open(path) as file:
        assert np.array_equal(file["first"], dense((50,)).decompress())
        assert len(file.rows()) == 3
        with pytest.raises(FormatError, match=r"x\.lac: tensor 'second': byte \d+: the block is damaged"):
            file["second"]


def test_what_was_read_outlives_the_file(tmp_path):
    path = tmp_path / "x.lac"
    container.write(path, {"a": dense((50,))})
    with container.open(path) as file:
        array, code = file["a"], file.code("a")
    assert np.array_equal(array, code.decompress())


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        container.open(tmp_path / "none.lac")
    (tmp_path / "empty.lac").touch()
    with pytest.raises(FormatError, match=r"empty\.lac.*not a \.lac file"):
        container.open(tmp_path / "empty.lac")


# --- damage --------------------------------------------------------------------------------------------


SMALL = container.dumps({"w": sparse((3, 9), codebook), "b": dense((2,))}, {"k": "v"})


def test_every_truncation_is_an_error():
    for length in range(len(SMALL)):
        with pytest.raises(FormatError):
            container.loads(SMALL[:length])
    with pytest.raises(FormatError):
        container.loads(SMALL + b"\0")


def test_every_flipped_bit_is_an_error():
    for place in range(len(SMALL)):
        for change in (*(1 << bit for bit in range(8)), 255):
            altered = bytearray(SMALL)
            altered[place] ^= change
            with pytest.raises(FormatError):
                container.loads(bytes(altered))


def test_a_newer_version_says_so():
    altered = bytearray(SMALL)
    altered[8] = VERSION + 1
    with pytest.raises(FormatError, match=r"version 1.*newer laconic"):
        container.loads(bytes(altered))


# --- counting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entries", "ratio"), [(2, 30.52), (4, 15.63), (8, 10.50), (16, 7.90), (32, 6.33), (64, 5.28)])
def test_published_ratios_of_lenet300(entries, ratio):
    """Carreira-Perpiñán & Idelbayev, arXiv:1707.04319: compression ratios of LeNet-300-100, one codebook a layer."""
    codes = {str(shape): codebook(shape, entries) for shape in [(784, 300), (300, 100), (100, 10)]}
    codes |= {str(size): dense((size,)) for size in (300, 100, 10)}
    assert 32 * 266610 / sum(published_bits(codes).values()) == pytest.approx(ratio, abs=0.005)


def test_published_bits_by_hand():
    book = Values(np.float32([1, 2, 3]))
    kept = sparse((6, 50), codebook)
    count = kept.values.size
    codes = {
        "a": codebook((10,), shared=book),
        "b": codebook((10,), seed=1, shared=book),
        "c": kept,
        "d": sparse((9,)),
        "e": low_rank((8, 6), 2, right=codebook),
        "f": dense((5,), "float16"),
    }
    mask = int(codes["d"].mask.array.sum())
    expected = [10 * 2 + 96, 20, count * (2 + 3 + 6) + 4 * 32, mask * (32 + 4), 16 * 32 + 12 * 2 + 128, 80]
    assert published_bits(codes) == dict(zip("abcdef", expected, strict=True))


def test_ideal_bits_is_below_the_file_and_near_it():
    code = sparse((400, 500), codebook, keep=0.05)
    ideal = ideal_bits(code)
    p = float(code.mask.array.mean())
    by_hand = -code.size * (p * np.log2(p) + (1 - p) * np.log2(1 - p)) + 2 * code.values.size + 128
    assert ideal == pytest.approx(by_hand, rel=0.001)
    assert ideal < container.bits({"w": code}) < 1.01 * ideal + 8 * 150


def test_descriptions():
    assert describe(low_rank((8, 6), 2, left=codebook)) == "low-rank 2 of (codebook 4, dense)"
    assert describe(SparseCode((20,), "float32", Symbols(np.arange(20) == 3, 2), codebook((1,), 16))) == (
        "sparse 5.0% of codebook 16"
    )
