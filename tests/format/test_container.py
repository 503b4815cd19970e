"""The `.lac` file: round trips, exact sizes, laziness, and files that are damaged or hostile."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_codes import CASES, codebook, dense, same_code, sparse

from laconic.errors import FormatError, OutputExists, WeightsError
from laconic.format import container
from laconic.format.codes import (
    VIEWS,
    CodebookCode,
    LowRankCode,
    SparseCode,
    SumCode,
    Symbols,
    Values,
)
from laconic.format.codes.describe import describe
from laconic.format.container.charges import apportion
from laconic.format.container.header import HEADER_BYTES, VERSIONS
from laconic.format.container.reader import LacFile
from laconic.format.container.records import encode_blocks
from laconic.format.container.table import BLOCK, MAX_DEPTH

relaxed = settings(suppress_health_check=[HealthCheck.too_slow])


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
        for row in file.charges()[:-1]:
            assert row.code == describe(CASES[row.name])
            assert (row.shape, row.dtype) == (CASES[row.name].shape, CASES[row.name].dtype)
        assert sum(row.bytes for row in file.charges()) == path.stat().st_size
        assert file.charges()[-1].name == container.HEADER


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
        terms = st.lists(tree(shape, depth - 1), min_size=2, max_size=3)
        options.append(terms.map(lambda found: SumCode(shape, "float32", tuple(found))))
        if len(shape) == 2:
            rank = st.integers(0, min(3, *shape))
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
    assert sum(row.bytes for row in LacFile(data, "").charges()) == len(data)


def test_what_is_shared_is_stored_once_and_comes_back_as_one_object():
    book = Values(np.random.default_rng(0).normal(size=64))
    pair = {"a": codebook((30, 20), shared=book), "b": codebook((10, 20), seed=1, shared=book)}
    apart = {"a": pair["a"], "b": replace(pair["b"], codebook=Values(book.array.copy()))}
    stored = len(encode_blocks(book)[0])
    assert container.bits(apart) - container.bits(pair) > 8 * stored
    file = LacFile(container.dumps(pair), "")
    a, b = file.code("a"), file.code("b")
    assert a.codebook is b.codebook
    with_book = file.charges()
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
    container.write(path, {"first": dense((50,)), "second": dense((60,), seed=1)}, small=False)
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 230] ^= 1  # within the block of the second
    path.write_bytes(data)
    with container.open(path) as file:
        assert np.array_equal(file["first"], dense((50,)).decompress())
        assert len(file.charges()) == 3
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
    altered[8] = VERSIONS[-1] + 1
    with pytest.raises(FormatError, match=rf"version {VERSIONS[-1] + 1}.*newer laconic"):
        container.loads(bytes(altered))
