"""Forgetting fails: names that are exported, documented and imported."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import laconic
from laconic.csteps.catalogue import COMPRESSIONS
from laconic.format import codes
from laconic.format.codes import CODES, DTYPES

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(laconic.__path__, "laconic.")
    if not module.name.endswith("__main__")
)


def test_every_public_name_resolves():
    assert len(set(laconic.__all__)) == len(laconic.__all__)
    assert dir(laconic) == sorted(laconic.__all__)
    for name in laconic.__all__:
        assert getattr(laconic, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        laconic.nonsense  # noqa: B018
    assert version("laconic") == laconic.__version__


def test_public_names_are_what_their_home_calls_them():
    for name, home in laconic._HOME.items():
        module = importlib.import_module(f"laconic.{home}")
        assert getattr(laconic, name) is getattr(module, name)
    for name in laconic._ROOMS:
        assert getattr(laconic, name) is importlib.import_module(f"laconic.{laconic._ROOMS[name]}")


def test_type_checkers_see_the_same_names():
    """The imports under TYPE_CHECKING are written out: each public name, and from its home."""
    source = inspect.getsource(laconic)
    written = {name: home for home, name in re.findall(r"from laconic\.(\S+) import (\w+) as \2", source)}
    districts = {name: room.rpartition(".")[0] for name, room in laconic._ROOMS.items()}
    assert written == laconic._HOME | districts


def test_every_compression_is_public():
    for compression in COMPRESSIONS:
        assert getattr(laconic, compression.__name__) is compression
    subclasses = {kind for kind in laconic.Compression.__subclasses__() if kind.__module__.startswith("laconic.")}
    assert subclasses == set(COMPRESSIONS)


def test_every_code_has_a_tag_and_a_name():
    kinds = {kind for kind in codes.Code.__subclasses__() if kind.__module__.startswith("laconic.")}
    assert kinds == set(CODES.values())
    assert all(kind.__name__ in codes.__all__ for kind in CODES.values())


def test_the_format_page_names_every_tag_and_dtype():
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| ([a-z ]+) \|.*\| .* \| .* \|$", page, re.MULTILINE))
    words = {
        0: "dense",
        1: "codebook",
        2: "sparse",
        3: "low rank",
        4: "grid",
        5: "grouped",
        6: "sum",
        7: "tile sparse",
        8: "tucker",
        9: "canonical",
        10: "hashed",
        11: "drawn",
        12: "packed",
    }
    assert CODES.keys() == words.keys()
    for tag, word in words.items():
        code = CODES[tag]
        assert rows[str(tag)] == word
        assert code.__name__ == word.title().replace(" ", "") + "Code"
    numbers, names = re.search(r"^\| dtype number \|(.*)\|\n\|.*\|\n\| \|(.*)\|$", page, re.MULTILINE).groups()
    assert [int(number) for number in numbers.split("|")] == list(range(len(DTYPES)))
    assert tuple(name.strip() for name in names.split("|")) == DTYPES


def without_docstring(name):
    """The public things of a module, itself too, that say nothing of themselves."""
    module = importlib.import_module(name)
    if not module.__doc__:
        yield name
    own = {
        key: thing
        for key, thing in vars(module).items()
        if not key.startswith("_") and getattr(thing, "__module__", None) == name and callable(thing)
    }
    for key, thing in own.items():
        if not inspect.getdoc(thing):
            yield f"{name}.{key}"
        members = vars(thing).items() if inspect.isclass(thing) else ()
        for member, value in members:
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not member.startswith("_") and inspect.isfunction(function) and not function.__doc__:
                yield f"{name}.{key}.{member}"


def test_public_things_have_docstrings():
    assert not [thing for name in MODULES for thing in without_docstring(name)]


def test_lists_of_exports_are_true():
    for name in MODULES:
        module = importlib.import_module(name)
        exported = getattr(module, "__all__", [])
        assert len(set(exported)) == len(exported), name
        assert not [key for key in exported if not hasattr(module, key)], name


def fresh(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    return done.stdout.split()


def test_importing_laconic_loads_nothing_heavy():
    heavy = "print(*({'torch', 'numba', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    districts = [path.parent.name for path in Path(laconic.__file__).parent.glob("*/__init__.py")]
    districts.remove("hf")  # which is imported to have transformers read what is compressed
    fresh(f"import laconic, sys, {', '.join(f'laconic.{name}' for name in districts)}; {heavy}")
    fresh(f"import sys; from laconic.cli import run; run(['--help']); {heavy}")


def test_compressing_a_state_dict_needs_torch_and_nothing_of_the_demonstration():
    absent = "import sys; sys.modules.update(dict.fromkeys(('sklearn', 'matplotlib', 'scipy', 'beartype')));"
    weights = "{'w': torch.arange(900.0).view(30, 30), 'b': torch.zeros(6)}"
    for_each = "for plan in (laconic.Budget(bits=9), laconic.AdaptiveCodebook(2))"
    fresh(f"{absent} import torch, laconic; [laconic.compress({weights}, plan) {for_each}]")


def test_what_needs_torch_says_so_where_it_is_missing():
    absent = "import sys; sys.modules['torch'] = None; import laconic; from laconic.errors import MissingPackage;"
    said = fresh(f"{absent}\ntry: laconic.load\nexcept MissingPackage as error: print(error)")
    assert " ".join(said).startswith("laconic.load needs torch: pip install 'laconic[torch]'")
