"""A device has NumPy, and little else: files are read to the same bits without Numba, torch and the rest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"

READ = """
import sys
for name in {absent!r}:
    sys.modules[name] = None
import hashlib, json
from pathlib import Path
import laconic
from laconic.errors import MissingPackage

found = {{}}
for path in sorted(Path({folder!r}).glob("*.lac")):
    with laconic.open(path) as file:
        for name in file:
            try:
                array = file[name]
                found[path.name + " " + name] = [str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()]
            except MissingPackage as error:
                found[path.name + " " + name] = str(error)
        file.charges()
loaded = {{name for name in ("torch", "numba", "ml_dtypes", "safetensors", "scipy") if sys.modules.get(name)}}
print(json.dumps([found, sorted(loaded)]))
"""

OTHERS = ("torch", "safetensors", "typer", "rich", "scipy")


def read(*absent, folder=GOLDEN):
    """What a fresh process without some packages reads, and which of them it has loaded all the same."""
    code = READ.format(absent=absent, folder=str(folder))
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def with_all():
    return read()


@pytest.fixture(scope="module")
def everything(with_all):
    return with_all[0]


def test_reading_never_loads_torch(with_all):
    assert len(with_all[0]) > 20
    assert not {"torch", "safetensors"} & set(with_all[1])


def test_the_same_bits_without_numba(everything):
    found, loaded = read("numba", *OTHERS)
    assert found == everything
    assert loaded == ["ml_dtypes"]


def test_numpy_alone_reads_all_but_the_types_it_does_not_know(everything):
    found, loaded = read("numba", "ml_dtypes", *OTHERS)
    assert loaded == []
    foreign = {key: dtype for key, (dtype, _) in everything.items() if dtype == "bfloat16" or "float8" in dtype}
    assert len(set(foreign.values())) == 4
    for key, value in found.items():
        assert value == (
            f"{foreign[key]} needs ml_dtypes: pip install ml_dtypes" if key in foreign else everything[key]
        )
