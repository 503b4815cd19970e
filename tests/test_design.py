"""The design pages are true: the functions that they name exist, and the districts are those of the contracts."""

import ast
import re
import tomllib
from pathlib import Path

import laconic

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path(laconic.__file__).parent
PAGES = [ROOT / "docs" / name for name in ("design.md", "integer.md")]


def defined(path):
    """Names of the functions and classes of a file, those of a class with its name before them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tops = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    members = {f"{top.name}.{n.name}" for top in tops for n in top.body if isinstance(n, ast.FunctionDef)}
    return {top.name for top in tops} | members


def test_every_function_that_a_design_page_names_exists():
    named = {pair for page in PAGES for pair in re.findall(r"`([\w/]+\.py)::([\w.]+)`", page.read_text("utf-8"))}
    assert len(named) > 40
    missing = [f"{file}::{name}" for file, name in named if name not in defined(SOURCE / file)]
    assert not missing


def test_every_file_that_a_design_page_names_exists():
    named = {file for page in PAGES for file in re.findall(r"`([a-z_]+(?:/[\w]+)+\.py)`", page.read_text("utf-8"))}
    assert not [file for file in named if not (SOURCE / file).is_file()]


def test_the_districts_are_those_of_the_contract_and_each_names_its_rooms():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+\? \| (.*) \|$", PAGES[0].read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == contract["layers"]
    for district, rooms in rows:
        folder = SOURCE / district
        if district in ("cli", "csteps") or not folder.is_dir():
            continue  # a command, or a compression, for each file
        there = {path.stem for path in folder.iterdir() if path.stem not in ("__init__", "__pycache__")}
        assert set(re.findall(r"`(\w+)`", rooms)) == there, district
