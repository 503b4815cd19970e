"""The five steps of CONTRIBUTING.md, for every public compression: forgetting one fails here or in the laws."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import laconic
from laconic import AdaptiveCodebook, Compression, Joint, KeepLargest, Lossless
from laconic.csteps.catalogue import COMPRESSIONS
from laconic.errors import UnsupportedMetric
from laconic.plans.techniques import TECHNIQUES
from laconic.plans.toml import parse_compression
from laconic.theory.metric import Diagonal

OF_OTHERS = (Lossless, Joint)
"""What solves nothing itself: nothing is lost, or it is the inner compression that projects."""


def test_every_compression_of_the_package_is_listed():
    found = {kind for kind in Compression.__subclasses__() if kind.__module__.startswith("laconic.")}
    assert found == set(COMPRESSIONS)


def test_step_1_docstrings_are_an_argmin_with_a_source_and_an_example():
    for kind in COMPRESSIONS:
        text = inspect.getdoc(kind)
        assert "min" in text, kind
        assert ">>>" in text, kind
        assert kind is Joint or "Source:" in text or "whole space" in text, kind


def test_step_2_they_are_public():
    for kind in COMPRESSIONS:
        assert getattr(laconic, kind.__name__) is kind
        assert kind.__name__ in laconic.__all__


# Step 3, cases: `tests/csteps/test_laws.py` fails when a compression has none.


def twins() -> Iterator[tuple[str, bool]]:
    """The compressions that a test is the twin of, and whether it weighs what they project."""
    for path in (Path(__file__).parent / "csteps").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for call in getattr(node, "decorator_list", ()):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "twin_of":
                    yield call.args[0].id, not call.keywords


def takes_importances(kind: type[Compression]) -> bool:
    examples = [t.example for t in TECHNIQUES.values() if t.compression is kind]
    weights = {"w": torch.randn(6, 4, 2, 2, generator=torch.Generator().manual_seed(0))}
    for example in examples:
        try:
            parse_compression(example, "row").project(weights, {"w": Diagonal(torch.rand(6, 4, 2, 2))})
        except UnsupportedMetric:
            continue
        return True
    return False


def test_step_4_each_meets_a_twin_under_importances_where_it_takes_them():
    found = set(twins())
    for kind in set(COMPRESSIONS) - set(OF_OTHERS):
        weighted = takes_importances(kind)
        assert (kind.__name__, weighted) in found, f"no twin_of({kind.__name__}), importances={weighted}"
    assert takes_importances(AdaptiveCodebook)
    assert takes_importances(KeepLargest)


def test_step_5_a_plan_can_name_them():
    assert {technique.compression for technique in TECHNIQUES.values()} >= set(COMPRESSIONS) - {Joint}


@pytest.mark.parametrize("technique", TECHNIQUES.values(), ids=lambda technique: technique.key)
def test_the_example_of_a_technique_is_a_row_of_a_plan(technique):
    assert isinstance(parse_compression(technique.example, "row"), technique.compression)
    assert next(iter(technique.options)) == technique.key
