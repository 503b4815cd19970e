"""Which tests can tell a mutant from the program: each file of tests once, on the tree as it is (`mutants.py`).

A file of tests reaches a mutant of a kernel when the kernel has run, or one that refers to it; another mutant, when the
statement of its line has. Statements are probed (`mutation/sitecustomize.py`), in all processes that the tests start.
"""

import ast
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mutant_list import Mutant, digest
from mutant_trees import Place, parallel
from record import environment, save, say

PLUGIN = Path(__file__).resolve().parent / "mutation"
SECONDS = 3600.0
"""CPU seconds that one file of tests may take."""

HOLDERS: Mapping[type[ast.stmt], str] = {ast.If: "test", ast.While: "test", ast.For: "iter", ast.Match: "subject"}
"""The expression of a compound statement that is evaluated first."""


def reach(place: Place, mutants: Sequence[Mutant], path: Path, jobs: int) -> dict[str, Any]:
    """Run every unit that the record at ``path`` lacks, and return the record with all of them."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if record.get("mutants") != digest(mutants):
        record = {"environment": environment(0), "mutants": digest(mutants), "units": {}}
    every = units(place.tree, mutants)
    sources = {mutant.file: (place.tree / mutant.file).read_text(encoding="utf-8") for mutant in mutants}
    probes = probed([mutant for mutant in mutants if not mutant.kernel], sources)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by_path = {str(place.tree / file): text for file, text in probes.items()}
        (folder / "probes.json").write_text(json.dumps(by_path), encoding="utf-8")
        waiting = [unit for unit in every if unit not in record["units"]]
        for unit, found in parallel(lambda unit: _measure(place, unit, mutants, folder), waiting, jobs):
            record["units"][unit] = found
            save(path, record)
            done, met = len(record["units"]), len(found["mutants"])
            say(f"{done}/{len(every)} {unit}: {found['cpu']:.0f} s, {met} mutants, {found['state']}")
    return record


def units(tree: Path, mutants: Sequence[Mutant]) -> list[str]:
    """Return every file of tests, and every file with a mutant that has doctests."""
    files = sorted({mutant.file for mutant in mutants})
    doctests = [file for file in files if ">>>" in (tree / file).read_text(encoding="utf-8")]
    return [*doctests, *sorted(path.relative_to(tree).as_posix() for path in (tree / "tests").rglob("test_*.py"))]


def probed(mutants: Sequence[Mutant], sources: Mapping[str, str]) -> dict[str, str]:
    """Return the sources with `__reached__(id)` at the statements of the mutants; no line moves."""
    found = {}
    for file in sorted({mutant.file for mutant in mutants}):
        tree, source = ast.parse(sources[file]), sources[file]
        edits = [edit for m in mutants if m.file == file for edit in _probe(_statement(tree, m.line), m.id)]
        lines = [line.encode() for line in source.split("\n")]
        for line, column, text in sorted(edits, reverse=True):
            data = lines[line - 1]
            lines[line - 1] = data[:column] + text.encode() + data[column:]
        found[file] = b"\n".join(lines).decode()
    return found


def _statement(tree: ast.Module, line: int) -> ast.stmt:
    """Return the innermost statement that has a line; of a function's default, the first of the function."""
    spans = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= line <= _end(node)]
    inner = min(spans, key=lambda node: (_end(node) - node.lineno, -node.col_offset))
    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
        return inner.body[1 if ast.get_docstring(inner) is not None else 0]
    return inner


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _probe(node: ast.stmt, number: int) -> Iterator[tuple[int, int, str]]:
    """Give what to insert, and where."""
    holder = (
        node.items[0].context_expr if isinstance(node, ast.With) else getattr(node, HOLDERS.get(type(node), ""), None)
    )
    if holder is None:
        yield node.lineno, node.col_offset, f"__reached__({number}); "
    else:
        yield holder.lineno, holder.col_offset, f"__reached__({number}) or ("
        yield holder.end_lineno or 0, holder.end_col_offset or 0, ")"


def _measure(place: Place, unit: str, mutants: Sequence[Mutant], folder: Path) -> dict[str, Any]:
    """Run one unit, and return what it costs, which tests fail, and what it reaches."""
    notes = folder / unit.replace("/", "_")
    env = {"MUTANT_PROBES": str(folder / "probes.json"), "MUTANT_NOTES": str(notes)}
    outcome = place.pytest([unit], seconds=SECONDS, env=env, path=str(PLUGIN))
    lines = notes.read_text(encoding="utf-8").split("\n") if notes.exists() else []
    pairs = {tuple(line.split(" ", 1)) for line in lines if line}
    kernels = {name.removeprefix(f"{place.tree}/").replace(".<locals>", "") for kind, name in pairs if kind == "kernel"}
    ids = {int(number) for kind, number in pairs if kind == "mutant"}
    ids |= {mutant.id for mutant in mutants if mutant.kernel and mutant.place in kernels}
    state = "passed" if outcome.passed else "failed" if outcome.code == 1 and outcome.failed else "broken"
    return {
        "cpu": round(outcome.cpu, 1),
        "state": state,
        "failed": list(outcome.failed),
        "tail": "" if outcome.passed else outcome.tail,
        "mutants": sorted(ids),
        "kernels": sorted(kernels),
    }
