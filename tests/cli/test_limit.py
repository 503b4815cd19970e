"""--limit: what a file may ask for, on the command line."""

import forked
import numpy as np
import pytest
import typer

from laconic.cli.options import size
from laconic.format import container
from laconic.format.codes import DenseCode


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("17", 17), ("17B", 17), ("100KB", 100_000), ("8GB", 8 * 10**9), ("1.5MiB", 3 << 19), ("2 gib", 2 << 30),
     ("0.1KB", 100), ("3TB", 3 * 10**12), ("1TiB", 1 << 40)],
)  # fmt: skip
def test_sizes(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "KB", "-1", "1e9", "8 G B", "1iB", "8GBs", "1.", ".5KB", "1PB", "٣KB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(typer.BadParameter, match="is no size"):
        size(text)


@pytest.fixture
def laconic(tmp_path_factory):
    """Function: arguments → exit code and errors of a process of its own: beartype reads a file's first tensor."""
    folder = tmp_path_factory.mktemp("said")

    def start(*arguments):
        code, _, err = forked.run(forked.COMMAND, *arguments, folder=folder)
        return code, " ".join(err.split())

    return start


@pytest.mark.parametrize("command", ["inspect", "decompress"])
def test_a_tensor_above_the_limit_is_refused_and_the_message_says_how_to_raise_it(laconic, command, tmp_path):
    path = tmp_path / "bomb.lac"
    container.write(path, {"big": DenseCode.of(np.zeros(10_000, np.float32))})
    output = ["-o", tmp_path / "out.safetensors"] if command == "decompress" else []
    code, error = laconic(command, path, *output, "--limit", "79KB")
    assert code == 1
    assert "tensor 'big': claims 80,000 bytes decoded, above the limit of 79,000" in error
    assert "--limit" in error
    assert laconic(command, path, *output, "--limit", "80KB", "--quiet") == (0, "")
    assert laconic(command, path, *output, "--limit", "much")[0] == 2


def test_tensors_that_are_above_the_limit_all_together_are_refused_before_a_file_is_written(laconic, tmp_path):
    path, output = tmp_path / "bomb.lac", tmp_path / "out.safetensors"
    container.write(path, {name: DenseCode.of(np.zeros(10_000, np.float32)) for name in ("a", "b")})
    code, error = laconic("decompress", path, "-o", output, "--limit", "159KB")
    assert code == 1
    assert "its 2 tensors claim 160,000 bytes decoded, all together, above the limit of 159,000" in error
    assert "--limit" in error
    assert list(tmp_path.iterdir()) == [path]
    assert laconic("decompress", path, "-o", output, "--limit", "160KB", "--quiet") == (0, "")
