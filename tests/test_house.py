"""Small rooms: the sizes of files and functions that the design promises."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import laconic

ROOMS = sorted(Path(laconic.__file__).parent.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions() -> Iterator[tuple[str, int]]:
    """Every function of the package with its length in lines, its docstring and its signature left out."""
    for path in ROOMS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.body[-1].end_lineno - body[0].lineno + 1 if body else 0
                yield f"{path.name}:{node.name}", length


def test_no_file_is_longer_than_400_lines_and_the_median_is_at_most_120():
    sizes = {path.name: lines(path) for path in ROOMS}
    assert not {name: size for name, size in sizes.items() if size > 400}
    assert median(sizes.values()) <= 120


def test_no_function_is_longer_than_60_lines_and_the_median_is_at_most_10():
    sizes = dict(functions())
    assert not {name: size for name, size in sizes.items() if size > 60}
    assert median(sizes.values()) <= 10
