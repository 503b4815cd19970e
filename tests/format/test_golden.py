"""The file format is a contract: files written once, byte by byte, that every version reads and writes alike.

A golden file is never regenerated to make this pass: a change of bytes is a new format version.
"""

import ast
import re
import struct
import zlib
from pathlib import Path

import pytest
from golden_files import FILES, GOLDEN, TIES
from reference import lac, names, small
from sample_codes import CASES

from laconic.format import container

DEFLATED = GOLDEN.parent / "v2" / "network.lac"
SMALL = GOLDEN.parent / "v3" / "network.lac"
REFERENCE = sorted((Path(__file__).parents[1] / "reference").glob("*.py"))


TINY = (
    "89 4c 41 43 0d 0a 1a 0a 01 00 00 00 2b 00 00 00 00 00 00 00 27 00 00 00 8e 68 af 4d c9 2a a0 63 "  # header
    "00 00 00 00 bf 00 00 00 3f "  # the codebook, plain
    "01 16 "  # the indices, packed
    "01 03 6e 65 74 03 74 6f 79 "  # net = toy
    "02 01 00 02 09 56 a6 f8 c2 00 02 06 02 ef 96 16 ac "  # two streams, one block each
    "01 00 00 01 77 01 00 02 02 03 00 01 02"  # w: tag 1, float32, 2 axes, 2 x 3, no facts, streams 0 and 1
)


def plain(data):
    """The same file in version 1: what zlib makes of a table is not a promise, what comes back is."""
    if data[8] == 1:
        return data
    offset = int.from_bytes(data[12:20], "little")
    table = zlib.decompress(data[offset:], -15)
    fields = struct.pack("<8sHHQII", data[:8], 1, 0, offset, len(table), zlib.crc32(table))
    return fields + zlib.crc32(fields).to_bytes(4, "little") + data[32:offset] + table


@pytest.mark.parametrize("name", FILES)
def test_golden_files_are_written_alike(name):
    make, metadata = FILES[name]
    data, written = container.dumps(make(), metadata, small=False), (GOLDEN / f"{name}.lac").read_bytes()
    assert plain(data) == written
    assert data == written or len(data) < len(written)


@pytest.mark.parametrize(("path", "version", "share"), [(DEFLATED, 2, 0.81), (SMALL, 3, 0.7)])
def test_golden_files_of_later_versions_hold_what_that_of_version_1_does(path, version, share):
    data, whole = path.read_bytes(), (GOLDEN / "network.lac").read_bytes()
    assert (data[8], version == 3 or plain(data) == whole) == (version, True)
    assert len(data) < share * len(whole)
    file, other = container.LacFile(data, "later"), container.LacFile(whole, "v1")
    assert list(file) == list(other)
    assert {name: file[name].tobytes() for name in file} == {name: other[name].tobytes() for name in other}
    assert names.ties(data) == file.ties == other.ties
    assert sum(row.bytes for row in file.charges()) == len(data)
    (metadata, tensors), (noted, others) = lac.read(data), lac.read(whole)
    assert metadata == noted
    assert {name: array.tobytes() for name, array in tensors.items()} == {k: v.tobytes() for k, v in others.items()}


@pytest.mark.parametrize("name", FILES)
def test_a_small_file_says_what_the_same_file_of_version_1_does(name):
    make, metadata = FILES[name]
    data = container.dumps(make(), metadata)
    assert data[8] == 3
    assert small.version_1(data) == (GOLDEN / f"{name}.lac").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_golden_files_are_read_alike(name):
    make, metadata = FILES[name]
    with container.open(GOLDEN / f"{name}.lac") as file:
        assert file.metadata == metadata
        assert list(file) == list(make())
        for key, code in make().items():
            assert file[key].dtype == code.dtype
            assert file[key].shape == code.shape
            assert file[key].tobytes() == code.decompress().tobytes()


def test_the_smallest_golden_file_in_full():
    data = (GOLDEN / "tiny.lac").read_bytes()
    assert data.hex(" ") == TINY
    assert container.loads(data).codes["w"].decompress().tolist() == [[-0.5, 0.5, 0.5], [-0.5, 0.5, -0.5]]


def code_lines(text):
    """Return how many lines are neither blank nor a comment nor part of a docstring."""
    documented = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and line.lstrip()[0] != "#" and n not in documented for n, line in lines)


def imported(text):
    """Give the modules that a text imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("name", FILES)
def test_the_format_page_alone_is_enough_to_read_the_files(name):
    make, metadata = FILES[name]
    found, tensors = lac.read((GOLDEN / f"{name}.lac").read_bytes())
    assert found == metadata
    codes = make()
    assert list(tensors) == list(codes)
    for key, code in codes.items():
        assert (tensors[key].dtype, tensors[key].shape) == (code.dtype, code.shape)
        assert tensors[key].tobytes() == code.decompress().tobytes(), key


def test_the_names_of_a_tied_tensor_have_one_record():
    data = (GOLDEN / "ties.lac").read_bytes()
    file = container.LacFile(data, "ties")
    assert names.ties(data) == file.ties == TIES
    assert names.ties((GOLDEN / "network.lac").read_bytes()) == {"tied": "block.2.conv.weight"}
    codes, (*rows, _) = file.codes(), file.charges()
    assert all(codes[name] is codes[first] for name, first in TIES.items())
    assert {row.name: (row.bytes, row.code) for row in rows if row.tied} == {
        name: (0, f"the same as {first}") for name, first in TIES.items()
    }
    assert plain(container.dumps(codes, file.metadata, small=False)) == data


@pytest.mark.parametrize("name", CASES)
def test_the_format_page_alone_is_enough_to_read_every_kind_of_code(name):
    code = CASES[name]
    tensor = lac.read(container.dumps({"w": code}))[1]["w"]
    assert (tensor.dtype, tensor.shape) == (code.dtype, code.shape)
    assert tensor.tobytes() == code.decompress().tobytes()


def test_the_reference_refuses_every_flipped_bit():
    data = (GOLDEN / "tiny.lac").read_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AssertionError):
            lac.read(bytes(flipped))


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.name)
def test_the_reference_is_150_lines_and_what_came_later_30_a_file(path):
    text = path.read_text(encoding="utf-8")
    assert code_lines(text) <= (150 if path.name == "lac.py" else 30)
    assert "laconic" not in {name.split(".")[0] for name in imported(text)}


def test_the_note_on_the_reference_counts_its_lines():
    note = (REFERENCE[0].parents[2] / "docs" / "notes" / "reference-decoder.md").read_text(encoding="utf-8")
    files, pieces = (
        dict(re.findall(pattern, note)) for pattern in (r"\| `(\w+\.py)` \| (\d+) \|", r"\| (\w.*) \| (\d+) \|")
    )
    counted = {path.name: code_lines(path.read_text(encoding="utf-8")) for path in REFERENCE}
    counted.pop("__init__.py", None)
    assert {name: int(lines) for name, lines in files.items()} == counted
    grid = sum(counted[name] for name in ("model.py", "tables.py", "levels.py", "grid.py"))
    assert sum(map(int, pieces.values())) == grid
    assert f"{counted['lac.py']} and {grid}" in note


def test_blank_lines_comments_and_docstrings_are_not_counted():
    assert code_lines('"""One\n\ntwo."""\n\n# three\ndef f():\n    """Four."""\n    return """\n5"""  # six\n') == 3


if __name__ == "__main__":  # writes the files that are missing, and no others
    for name, (make, metadata) in FILES.items():
        if not (GOLDEN / f"{name}.lac").exists():
            (GOLDEN / f"{name}.lac").write_bytes(plain(container.dumps(make(), metadata, small=False)))
    for path, small in ((DEFLATED, False), (SMALL, True)):
        if not path.exists():
            container.write(path, FILES["network"][0](), FILES["network"][1], small=small)
