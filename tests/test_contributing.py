"""The five steps of CONTRIBUTING.md, for every public compression: forgetting one fails here or in the laws."""

import inspect
from pathlib import Path

import pytest

import laconic
from laconic import Compression, Joint
from laconic.csteps.catalogue import COMPRESSIONS
from laconic.plans.plan import parse_compression
from laconic.plans.techniques import TECHNIQUES

FAMILIES = sorted((Path(__file__).parent / "cases").glob("*.py"))
each = pytest.mark.parametrize("kind", COMPRESSIONS, ids=lambda kind: kind.__name__)


def test_every_compression_of_the_package_is_listed():
    found = {kind for kind in Compression.__subclasses__() if kind.__module__.startswith("laconic.")}
    assert found == set(COMPRESSIONS)


@each
def test_step_1_the_docstring_is_an_argmin_with_an_example(kind):
    text = inspect.getdoc(kind)
    assert "min" in text
    assert ">>>" in text
    assert kind is Joint or "Source:" in text or "whole space" in text


@each
def test_step_2_it_is_public(kind):
    assert getattr(laconic, kind.__name__) is kind
    assert kind.__name__ in laconic.__all__


@each
def test_step_3_it_has_cases(kind):
    assert any(f"{kind.__name__}(" in path.read_text(encoding="utf-8") for path in FAMILIES)


@each
def test_step_4_it_meets_a_twin(kind):
    twins = (Path(__file__).parent / "csteps").glob("test_*.py")
    assert any(f"{kind.__name__}(" in twin.read_text(encoding="utf-8") for twin in twins)


@each
def test_step_5_a_plan_can_name_it(kind):
    assert kind is Joint or any(technique.compression is kind for technique in TECHNIQUES.values())


@pytest.mark.parametrize("technique", TECHNIQUES.values(), ids=lambda technique: technique.key)
def test_the_example_of_a_technique_is_a_row_of_a_plan(technique):
    assert isinstance(parse_compression(technique.example, "row"), technique.compression)
    assert next(iter(technique.options)) == technique.key
