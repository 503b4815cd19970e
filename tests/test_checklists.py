"""The checklists of CONTRIBUTING.md for commands and networks: forgetting a step fails here."""

import ast
import re
from pathlib import Path

import laconic
from laconic.cli import COMMANDS
from laconic.models import nets

ROOT = Path(__file__).resolve().parents[1]


def test_the_readme_shows_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^    laconic (\w+)", readme, re.MULTILINE)) | set(re.findall(r"make (\w+)", readme))
    assert set(COMMANDS) - {"version"} <= shown


def test_every_file_of_networks_says_where_they_are_from():
    files = [path for path in Path(nets.__file__).parent.glob("*.py") if "nn.Module" in path.read_text("utf-8")]
    assert len(files) >= 4
    for path in files:
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert path.stem == "zoo" or re.search(r"\b(19|20)\d\d\b", told), f"{path.name}: no source with a year"


def test_every_target_of_make_is_explained():
    targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    explained = re.findall(
        r"^\| `make ([\w-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(explained) == set(" ".join(targets).split())


def test_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`((?:src|tests|docs|benchmarks)/[\w/.]+)`", text) if "<" not in name}
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]
    assert (Path(laconic.__file__).parent / "csteps" / "catalogue.py").is_file()
