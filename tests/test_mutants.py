"""The mutants of `benchmarks/mutants.py`: each is another program, changed at one place that is found again."""

import ast
import json
from dataclasses import asdict, replace
from pathlib import Path

import mutant_reach
import pytest
from mutant_list import KERNEL, make, relocate

import laconic

TREE = Path(laconic.__file__).parents[2]


@pytest.fixture(scope="module")
def mutants():
    return make(TREE, 40, 0)


@pytest.fixture(scope="module")
def sources(mutants):
    return {mutant.file: (TREE / mutant.file).read_text(encoding="utf-8") for mutant in mutants}


def test_as_many_as_wanted_and_no_two_on_a_line(mutants):
    assert len({(mutant.file, mutant.line) for mutant in mutants}) == len(mutants) == 40
    assert sum(mutant.kernel for mutant in mutants) >= 12
    assert {mutant.group for mutant in mutants if mutant.kernel} == {KERNEL}
    assert len({mutant.operator for mutant in mutants}) >= 8


def test_each_parses_and_differs_on_one_line(mutants, sources):
    programs = {file: ast.dump(ast.parse(source)) for file, source in sources.items()}
    for mutant in mutants:
        source = sources[mutant.file]
        changed = mutant.apply(source)
        assert ast.dump(ast.parse(changed)) != programs[mutant.file]
        pairs = zip(source.split("\n"), changed.split("\n"), strict=True)
        assert [place for place, (old, new) in enumerate(pairs, 1) if old != new] == [mutant.line]


def test_each_is_found_again_where_it_is_and_in_a_tree_that_has_moved(mutants):
    assert relocate(mutants, TREE) == (mutants, [])
    moved = [replace(mutant, file="src/laconic/elsewhere.py", line=1) for mutant in mutants]
    here, gone = relocate(moved, TREE)
    assert not {mutant.id for mutant in here} & {mutant.id for mutant in gone}
    assert set(here) <= set(mutants)
    assert len(here) > 0.9 * len(mutants)
    assert relocate([replace(mutants[0], old="no such line")], TREE)[0] == []


def test_probes_change_no_line_number(mutants, sources):
    probed = mutant_reach.probed([mutant for mutant in mutants if not mutant.kernel], sources)
    text = json.dumps(probed)
    for mutant in mutants:
        assert (f"__reached__({mutant.id})" in text) != mutant.kernel, asdict(mutant)
    for file, source in probed.items():
        assert source.count("\n") == sources[file].count("\n")
        compile(source, file, "exec")
