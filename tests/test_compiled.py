"""Machine code on disk goes by all that it is made of: an edit recompiles what it reaches, and nothing else."""

import importlib
import logging
import os
import sys

import pytest

from laconic import compiled

MODULES = {
    "constants": "STEP = 10\nUNUSED = {}\n",
    "inner": (
        "from laconic.compiled import inlined, compiled\n"
        "@inlined\ndef scaled(x):\n    return 2 * x\n"
        "@compiled\ndef moved(x):\n    return x + 1\n"
    ),
    "middle": (
        "from laconic.compiled import compiled\nfrom PACKAGE.inner import scaled\n"
        "@compiled\ndef twice(x):\n    return scaled(x)\n"
    ),
    "outer": (
        "from laconic.compiled import compiled\nfrom PACKAGE.constants import STEP\nfrom PACKAGE.middle import twice\n"
        "@compiled\ndef f(x):\n    return twice(x) + STEP\n"
    ),
    "apart": "from laconic.compiled import compiled\n@compiled\ndef g(x):\n    return x * x\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Function: edits (module → (old, new)) → results and numbers of compilations, as a fresh process has them."""
    name = f"kernels_{os.getpid()}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    for module, text in MODULES.items():
        (folder / f"{module}.py").write_text(text.replace("PACKAGE", name))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(**edits):
        for module, (old, new) in edits.items():
            path = folder / f"{module}.py"
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            del sys.modules[module]
            compiled._SOURCES.pop(module, None)
        importlib.invalidate_caches()
        functions = {}
        for module, function in (("apart", "g"), ("inner", "moved"), ("outer", "f")):
            functions[function] = getattr(importlib.import_module(f"{name}.{module}"), function)
        results = [function(3) for function in functions.values()]
        counts = [sum(function.stats.cache_misses.values()) for function in functions.values()]
        return results, counts

    return run


def test_an_edit_recompiles_what_it_reaches_and_nothing_else(package):
    assert package() == ([9, 4, 16], [1, 1, 1])
    assert package() == ([9, 4, 16], [0, 0, 0])  # nothing has changed
    assert package(inner=("2 * x", "3 * x")) == ([9, 4, 19], [0, 1, 1])  # two files away, through one that calls it
    assert package(constants=("10", "20")) == ([9, 4, 29], [0, 0, 1])  # frozen into the code of another file
    assert package(constants=("{}", "{1: 2}")) == ([9, 4, 29], [0, 0, 0])  # no compiled function sees it
    assert package(apart=("x * x", "x + x")) == ([6, 4, 29], [1, 0, 0])


def test_what_is_kept_of_a_module_does_not_depend_on_where_it_is(package, tmp_path, monkeypatch):
    package()
    name = f"kernels_{os.getpid()}"
    here = {module: stamp for module, stamp in compiled._SOURCES.items() if module.startswith(name)}
    assert len(here) == 4
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]
        compiled._SOURCES.pop(module, None)
    importlib.invalidate_caches()
    for module in here:
        importlib.import_module(module)
    assert {module: compiled._SOURCES[module] for module in here} == here


def test_compiling_is_said_once(package, caplog):
    compiled._say_once.cache_clear()
    with caplog.at_level(logging.INFO, "laconic"):
        package()
        assert [record.message for record in caplog.records] == [
            "compiling for this machine, which takes some seconds the first time"
        ]  # three functions of three files
        caplog.clear()
        compiled._say_once.cache_clear()
        package()
        assert not caplog.records
