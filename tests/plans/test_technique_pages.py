"""A page for each technique: as the table says, runnable, and with a picture."""

import re
import tomllib
from pathlib import Path

import make_techniques
import pytest
import torch

from laconic.plans.techniques import TECHNIQUES
from laconic.plans.toml import parse_plan

FOLDER = Path(__file__).parents[2] / "docs" / "techniques"
each = pytest.mark.parametrize("technique", TECHNIQUES.values(), ids=lambda technique: technique.key)


def test_pages_are_those_of_the_table_and_their_examples_give_what_they_say():
    assert make_techniques.stale() == [], "run python docs/make_techniques.py"


def test_the_prose_is_of_the_techniques_there_are():
    assert set(make_techniques.PROSE) == set(TECHNIQUES)
    assert set(make_techniques.FAMILIES) <= set(TECHNIQUES)


@each
def test_the_row_in_toml_builds_the_compression_of_the_example_in_python(technique):
    page = (FOLDER / f"{technique.key}.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (call,) = re.findall(r"laconic\.compress\(weights, (.*)\)$", page, re.MULTILINE)
    names: dict[str, object] = {}
    exec("import laconic\nfrom laconic.csteps.fixed_assignments import Hashed", names)
    compression = eval(call, names)
    assert type(compression) is technique.compression
    assert parse_plan(tomllib.loads(row)).tensors == {"weight": compression}


@each
def test_there_is_a_picture(technique):
    assert (FOLDER / f"{technique.key}.png").read_bytes().startswith(b"\x89PNG")
    assert f"({technique.key}.png)" in (FOLDER / f"{technique.key}.md").read_text(encoding="utf-8")


def test_pictures_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) < 600_000


def test_a_picture_is_drawn_of_a_layer(monkeypatch):
    monkeypatch.setattr(make_techniques, "kernel", lambda: torch.randn(16, 8, 3, 3) / 8)
    assert make_techniques.picture(TECHNIQUES["codebook"]).startswith(b"\x89PNG")


def test_the_readme_leads_to_the_index_and_the_index_to_every_page():
    readme = FOLDER.parent.parent / "README.md"
    assert "(docs/techniques/README.md)" in readme.read_text(encoding="utf-8")
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\w+)\]\(\1\.md\)", index, re.MULTILINE) == list(TECHNIQUES)
